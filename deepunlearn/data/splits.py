"""Which samples are retained, forgotten, held out (protocol section 2): index arrays, drawn once per cell.

Everything is drawn from `np.random.RandomState`, whose streams numpy has frozen (its compatibility policy, NEP 19:
the newer `Generator` may change between versions): the same labels and seed give the same split for good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError
from deepunlearn.metrics import USABLE_MARGIN

Indices = npt.NDArray[np.int64]

LEAST_PER_CLASS = 10  # a limited training part with fewer samples per class has nothing left to learn from
LEAST_PER_SIDE = 10  # the attack's 10-fold cross-validation needs ten forget and ten validation or test samples


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted int64 indices: `retain`, `forget`, `val` into the training part, `test` into the test part."""

    retain: Indices
    forget: Indices
    val: Indices
    test: Indices

    @property
    def train(self) -> Indices:
        """What the original is trained on: retain and forget, sorted."""
        return np.union1d(self.retain, self.forget)


def make_split(
    train_labels: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    *,
    limit: int | None,
    val_ratio: float,
    forget_ratio: float,
    seed: int,
    dropped: npt.ArrayLike = (),
) -> Split:
    """Cut the training part at random (not stratified) into val, then forget, then retain; sizes by rounding.

    50,000 samples at 0.15 and 0.1 give 7,500 val, 4,250 forget, 38,250 retain. The val set does not depend on
    `forget_ratio`. `limit` first takes a stratified subset of that many training samples, and of the test part in
    proportion, with at least one sample of each class. Raises ConfigError where a part would be too small for the
    attack, where retain lacks a class, where no model could be usable on the test part, or where `limit` does not fit.
    Training samples in `dropped` take no part.
    """
    train_labels, test_labels = np.asarray(train_labels), np.asarray(test_labels)
    random = np.random.RandomState(seed)
    train, test = _drawn(train_labels, test_labels, limit, random, dropped)
    n_val = round(val_ratio * len(train))
    n_forget = round(forget_ratio * (len(train) - n_val))
    shuffled = train[random.permutation(len(train))]
    val, forget, retain = np.split(shuffled, [n_val, n_val + n_forget])
    split = Split(*(np.sort(part).astype(np.int64) for part in (retain, forget, val, test)))
    _check_sizes(split, {"forget": forget_ratio, "val": val_ratio})
    _check_classes(split, train_labels)
    _check_majority(test_labels[split.test])
    return split


@dataclass(frozen=True, eq=False)
class Halves:
    """U-LiRA's splits (protocol section 8): sorted indices, `pool` and `val` into the training part, `test` as above.

    part: int8 [halvings, pool]: in which forget set of its halving a sample is, -1 where it is held out.
    """

    pool: Indices
    val: Indices
    test: Indices
    part: npt.NDArray[np.int8]

    def split(self, halving: int, part: int) -> Split:
        """What one model of a halving retains and forgets."""
        own = self.part[halving]
        return Split(self.pool[(own >= 0) & (own != part)], self.pool[own == part], self.val, self.test)

    def sizes(self, halving: int, part: int) -> dict[str, int]:
        """Samples of each part of such a split."""
        forget, train = (int(counts) for counts in (self._counts[halving, part], self._counts[halving].sum()))
        return {"retain": train - forget, "forget": forget, "val": len(self.val), "test": len(self.test)}

    @cached_property
    def _counts(self) -> npt.NDArray[np.int64]:
        """Samples of each forget set of each halving."""
        numbers = range(int(self.part.max()) + 1)
        return np.stack([(self.part == number).sum(1) for number in numbers], axis=1)


def make_halves(
    train_labels: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    *,
    limit: int | None,
    val_ratio: float,
    halvings: int,
    parts: int,
    seed: int,
    dropped: npt.ArrayLike = (),
) -> Halves:
    """Cut the training part at random into val and the pool, and the pool `halvings` times into train and held-out.

    Halvings come in pairs, each the other's complement, so that every sample is trained on in exactly half of them;
    each train half is cut into `parts` disjoint forget sets of equal size (up to one sample). Raises ConfigError as
    `make_split` does, for every model of the design.
    """
    train_labels, test_labels = np.asarray(train_labels), np.asarray(test_labels)
    random = np.random.RandomState(seed)
    train, test = _drawn(train_labels, test_labels, limit, random, dropped)
    shuffled = train[random.permutation(len(train))]
    val, pool = (np.sort(one).astype(np.int64) for one in np.split(shuffled, [round(val_ratio * len(train))]))
    halves = Halves(pool, val, test.astype(np.int64), draw_halvings(len(pool), halvings, parts, random))
    for halving in range(halvings):
        for number in range(parts):
            split = halves.split(halving, number)
            _check_sizes(split, {"forget": 1 / parts, "val": val_ratio})
            _check_classes(split, train_labels)
    return halves


def draw_halvings(size: int, halvings: int, parts: int, random: np.random.RandomState) -> npt.NDArray[np.int8]:
    """`Halves.part` of a pool of `size` samples."""
    part = np.full((halvings, size), -1, dtype=np.int8)
    for first in range(0, halvings, 2):
        for halving, half in enumerate(np.array_split(random.permutation(size), 2), start=first):
            for number, forget in enumerate(np.array_split(half, parts)):
                part[halving, forget] = number
    return part


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


def _check_sizes(split: Split, ratios: dict[str, float]) -> None:
    for part, ratio in (("forget", "forget.ratio"), ("val", "dataset.val_ratio")):
        size = len(getattr(split, part))
        if size < LEAST_PER_SIDE:
            raise ConfigError(
                f"{ratio} gives a {part} set that is too small for the membership attack's 10 folds",
                given=f"{ratios[part]}, which is {size} of {len(split.train) + len(split.val)} training samples",
                allowed=f"at least {LEAST_PER_SIDE} samples",
                remedy=f"raise {ratio}, or use more data: raise dataset.limit, or lower the other ratio",
            )


def _check_classes(split: Split, train_labels: npt.NDArray[np.int64]) -> None:
    missing = np.setdiff1d(np.unique(train_labels), train_labels[split.retain])
    if len(missing):
        raise ConfigError(
            "the retain set has no sample of some classes, so the retrained model could not learn them",
            given=f"no sample of class {', '.join(map(str, missing[:10]))} among {len(split.retain)} retained ones",
            allowed="at least one retained sample of each class",
            remedy="lower forget.ratio, raise dataset.limit, or draw another split with dataset.split_seed",
        )


def _check_majority(test_labels: npt.NDArray[np.int64]) -> None:
    counts = np.bincount(test_labels)
    if USABLE_MARGIN * counts.max() >= len(test_labels):
        raise ConfigError(
            f"nearly all test samples are of one class, so no model could be usable: "
            f"that takes a TA above {USABLE_MARGIN} x its share",
            given=f"{counts.max()} of {len(test_labels)} test samples are of class {counts.argmax()}",
            allowed=f"less than {1 / USABLE_MARGIN:.0%} of them",
            remedy="add test images of the other classes, or leave some of this class out",
        )
