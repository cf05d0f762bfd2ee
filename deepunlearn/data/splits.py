"""Which samples are retained, forgotten, held out (protocol section 2): index arrays, drawn once per cell.

Everything is drawn from `np.random.RandomState`, whose streams numpy has frozen (its compatibility policy, NEP 19:
the newer `Generator` may change between versions): the same labels and seed give the same split for good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import ForgetSet
from deepunlearn.core.samples import NO_COLUMNS, Candidates, Columns, Indices, Labelled, Samples, classes_of
from deepunlearn.core.split import Split, Splits
from deepunlearn.metrics import FOLDS, USABLE_MARGIN

LEAST_PER_CLASS = 10  # a limited training part with fewer samples per class has nothing left to learn from
LEAST_PER_SIDE = FOLDS  # validation and test samples, for the attack; fewer forgotten ones have no attack, and say so


def make_splits(
    train_labels: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    *,
    limit: int | None,
    val_ratio: float,
    forget: ForgetSet,
    seed: int,
    dropped: npt.ArrayLike = (),
    class_names: tuple[str, ...] = (),
    attributes: Columns = NO_COLUMNS,
    confidence: npt.NDArray[np.float64] | None = None,
    checked: bool = True,
) -> Splits:
    """Cut the training part at random (not stratified) into val and the rest, and that as `forget` says.

    Sizes by rounding: 50,000 samples at 0.15 and a random tenth give 7,500 val, 4,250 forget, 38,250 retain. The val
    set does not depend on `forget`, unless that cuts it by itself. `limit` first takes a stratified subset of that many
    training samples, and of the test part in proportion, with at least one sample of each class. Raises ConfigError
    where a part would be too small for the attack, where retain lacks a class, where no model could be usable on the
    test part, or where `limit` does not fit. Training samples in `dropped` take no part. Class names and attributes are
    for rules that look at them, as is the confidence in each sample of the training part. checked=False: nothing is to
    be unlearned from it, so that parts may be too small.
    """
    train_labels, test_labels = np.asarray(train_labels), np.asarray(test_labels)
    random = np.random.RandomState(seed)
    train, test = _drawn(train_labels, test_labels, limit, random, dropped)
    shuffled = train[random.permutation(len(train))].astype(np.int64)
    val, rest = np.split(shuffled, [0 if forget.cuts_val else round(val_ratio * len(train))])
    val, test = np.sort(val), np.sort(test).astype(np.int64)
    data = Labelled(train_labels, test_labels, class_names, attributes)
    unseen = Samples(val, train_labels[val], "train", data), Samples(test, test_labels[test], "test", data)
    sure = None if confidence is None else confidence[rest]
    candidates = Candidates(rest, train_labels[rest], "train", data, random, *unseen, sure)
    splits = forget.split(candidates, val, test)
    if not checked:
        return splits
    for known in splits.seeds or (0,):
        _check_sizes(splits.sizes(known), forget, val_ratio)
    for one in map(splits.of, splits.seeds):
        _check_classes(one, forget, one.labels_in_training(train_labels))
        if forget.scored:
            _check_majority((train_labels if one.test_of_train else test_labels)[one.test], one.forgotten_classes)
    return splits


def _drawn(
    train_labels: npt.NDArray[np.int64],
    test_labels: npt.NDArray[np.int64],
    limit: int | None,
    random: np.random.RandomState,
    dropped: npt.ArrayLike,
) -> tuple[Indices, Indices]:
    """The samples that take part, of training and test part: all that are not dropped, or `limit` and in proportion."""
    train, test = np.arange(len(train_labels)), np.arange(len(test_labels))
    train = np.delete(train, np.asarray(dropped, dtype=np.int64))
    whole = len(train)
    if limit is not None:
        _check_limit(limit, train_labels[train])
        train = train[stratified(train_labels[train], limit, random)]
        test = stratified(test_labels, round(limit * len(test_labels) / whole), random)
    _check_test(len(test), len(test_labels), limit, whole)
    return train, test


def stratified(labels: npt.ArrayLike, size: int, random: np.random.RandomState, keep: int = 0) -> Indices:
    """Sorted indices of about `size` samples, each class in proportion (largest remainder).

    Where possible each class is represented by at least one sample and leaves at least `keep` behind, even if that
    changes the size; apart from that the size is exact.
    """
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    shares = _shares(counts, size, np.maximum(counts - keep, 0))
    chosen = [
        random.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(classes, shares, strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _shares(counts: Indices, size: int, most: Indices) -> Indices:
    """How many of each class: proportional to `counts`, from 1 to `most`, summing to `size` where that is possible."""
    least = np.minimum(1, most)
    size = int(np.clip(size, least.sum(), most.sum()))
    exact = counts * (size / counts.sum())
    shares: Indices = np.clip(np.floor(exact).astype(np.int64), least, most)
    while gap := size - int(shares.sum()):
        step = 1 if gap > 0 else -1
        room = shares < most if gap > 0 else shares > least
        shares[np.argmax(np.where(room, step * (exact - shares), -np.inf))] += step
    return shares


def _check_limit(limit: int, train_labels: npt.NDArray[np.int64]) -> None:
    classes = len(np.unique(train_labels))
    least = LEAST_PER_CLASS * classes
    if limit > len(train_labels):
        problem, remedy = "dataset.limit is larger than the training part", "lower it, or leave it out to use all"
    elif limit < least:
        problem = f"dataset.limit leaves fewer than {LEAST_PER_CLASS} samples for each of the {classes} classes"
        remedy = f"raise it to dataset.limit={least} or more"
    else:
        return
    raise ConfigError(problem, given=limit, allowed=f"{least} to {len(train_labels)}", remedy=remedy)


def _check_test(size: int, of: int, limit: int | None, train: int) -> None:
    """The scores of every model attack its test losses: too few of them end in an error after all work is paid for."""
    allowed = f"at least {LEAST_PER_SIDE} samples, one for each of the attack's folds"
    if of < LEAST_PER_SIDE:
        raise ConfigError(
            "the test part has too few samples for the membership attack",
            given=f"{of} test samples",
            allowed=allowed,
            remedy="add test images; where the test part is cut off, raise dataset.test_ratio or use more images",
        )
    if size < LEAST_PER_SIDE:
        enough = math.ceil(LEAST_PER_SIDE * train / of)
        raise ConfigError(
            "dataset.limit leaves a test part that is too small for the membership attack",
            given=f"{limit} of {train} training samples, which leaves {size} of {of} test samples",
            allowed=allowed,
            remedy=f"raise it to dataset.limit={enough} or more, or leave it out",
        )


def _check_sizes(sizes: Mapping[str, int], forget: ForgetSet, val_ratio: float) -> None:
    allowed, trained_on = f"at least {LEAST_PER_SIDE} samples", sizes["retain"] + sizes["forget"]
    of = trained_on + sizes["val"]
    given = forget.model_dump(mode="json", exclude={"module", "code"}, exclude_none=True)
    if sizes["retain"] < LEAST_PER_SIDE:
        raise ConfigError(
            "the forget set is everything, or nearly: too few samples are left to retrain on",
            given=f"{given}: {sizes['forget']} of {trained_on} samples that are trained on",
            allowed=f"at least {LEAST_PER_SIDE} retained samples",
            remedy=forget.reduce,
        )
    least = forget.least
    if sizes["forget"] < least:
        raise ConfigError(
            f"the forget set is {'too small' if sizes['forget'] else 'empty'}",
            given=f"{given}: {sizes['forget']} of {of} training samples",
            allowed=f"at least {least} samples" + (", for the attack" if least > 1 else ""),
            remedy=f"use more data (raise dataset.limit, lower dataset.val_ratio), or {forget.enlarge}",
        )
    cut = [name for name, own in (("val", forget.cuts_val), ("test", forget.cuts_test)) if own]
    for name in (name for name in cut if sizes[name] < LEAST_PER_SIDE):
        raise ConfigError(
            f"the forget set's steps give a {name} set that is too small for the membership attack's 10 folds",
            given=f"{sizes[name]} of {of} training samples",
            allowed=allowed,
            remedy=f"let a step put more samples into {name}, or use more data: raise dataset.limit",
        )
    if sizes["val"] < LEAST_PER_SIDE:
        raise ConfigError(
            "dataset.val_ratio gives a val set that is too small for the membership attack's 10 folds",
            given=f"{val_ratio}, which is {sizes['val']} of {of} training samples",
            allowed=allowed,
            remedy="raise dataset.val_ratio, or use more data: raise dataset.limit",
        )


def _check_classes(split: Split, forget: ForgetSet, train_labels: npt.NDArray[np.int64]) -> None:
    missing = classes_of(train_labels) - classes_of(train_labels[split.retain]) - set(split.forgotten_classes)
    if missing:
        names = ", ".join(map(str, sorted(missing)[:10]))
        raise ConfigError(
            "the retain set has no sample of some classes, so the retrained model could not learn them",
            given=f"no sample of class {names} among {len(split.retain)} retained ones",
            allowed="at least one retained sample of each class that is not forgotten whole",
            remedy=f"raise dataset.limit, draw another split with dataset.split_seed, or {forget.reduce}",
        )


def _check_majority(test_labels: npt.NDArray[np.int64], forgotten: tuple[int, ...]) -> None:
    """Whether a model can be usable: by the samples of the classes that the retrained model knows."""
    test_labels = test_labels[~np.isin(test_labels, forgotten)]
    counts = np.bincount(test_labels, minlength=1)
    if USABLE_MARGIN * counts.max() >= len(test_labels):
        raise ConfigError(
            f"nearly all test samples are of one class, so no model could be usable: "
            f"that takes a TA above {USABLE_MARGIN} x its share",
            given=f"{counts.max()} of {len(test_labels)} test samples {'of retained classes ' if forgotten else ''}"
            f"are of class {counts.argmax()}",
            allowed=f"less than {1 / USABLE_MARGIN:.0%} of them",
            remedy="add test images of the other classes, or leave some of this class out",
        )
