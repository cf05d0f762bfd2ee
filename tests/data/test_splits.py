"""Splits: the protocol's sizes, invariants for any labels, pinned streams, and refusals that name the option."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.split import Split
from deepunlearn.data.splits import make_splits, stratified
from deepunlearn.forget.random import RandomForget
from tests.data.small_data import CIFAR_TEST, CIFAR_TRAIN


def cut(train=CIFAR_TRAIN, test=CIFAR_TEST, *, limit=None, val_ratio=0.15, forget_ratio=0.1, seed=123) -> Split:
    forget = RandomForget(name="random", ratio=forget_ratio)
    return make_splits(train, test, limit=limit, val_ratio=val_ratio, forget=forget, seed=seed).of(0)


def sizes(split: Split) -> list[int]:
    return [len(part) for part in (split.retain, split.forget, split.val, split.test)]


def fingerprint(*parts: np.ndarray) -> str:
    return hashlib.sha256(b"".join(part.astype("<i8").tobytes() for part in parts)).hexdigest()[:16]


def test_cifar10_has_the_sizes_of_the_protocol():
    assert sizes(cut()) == [38_250, 4_250, 7_500, 10_000]
    assert len(cut().train) == 42_500


def test_a_split_that_nothing_is_unlearned_from_is_the_same_and_may_be_smaller() -> None:
    options = {"limit": None, "val_ratio": 0.15, "forget": RandomForget(name="random", ratio=0.1), "seed": 123}
    for part in ("retain", "forget", "val", "test"):
        same = getattr(make_splits(CIFAR_TRAIN, CIFAR_TEST, **options, checked=False).of(0), part)
        assert np.array_equal(same, getattr(cut(), part))
    few = np.arange(60) % 10  # 9 of them are validation: too few for the attack
    with pytest.raises(ConfigError, match="val set that is too small"):
        make_splits(few, few, **options)
    assert sizes(make_splits(few, few, **options, checked=False).of(0)) == [46, 5, 9, 60]


@pytest.mark.parametrize("forgotten", [1, 9])
def test_a_few_forgotten_samples_are_a_forget_set(forgotten):
    """A deletion request is of one sample or of nine; the attack says that it needs ten."""
    split = cut(np.repeat([0, 1], 100), np.repeat([0, 1], 100), forget_ratio=forgotten / 170)
    assert sizes(split) == [170 - forgotten, forgotten, 30, 200]


def test_the_split_of_cifar10_never_changes():
    """Golden: a change of these orphans every stored result."""
    split = cut()
    assert fingerprint(split.retain, split.forget, split.val, split.test) == "ac17077acebe945f"
    limited = cut(limit=1000)
    assert fingerprint(limited.forget, limited.val, limited.test) == "b83f32abe68c1d52"


labels_of = st.lists(st.integers(60, 120), min_size=2, max_size=6).map(lambda n: np.repeat(np.arange(len(n)), n))


@settings(max_examples=80, deadline=None)
@given(
    train=labels_of,
    test_share=st.integers(8, 20),  # two classes and three quarters of it: more than ten
    val_ratio=st.floats(0.2, 0.3),
    forget_ratio=st.floats(0.3, 0.4),
    limit_share=st.none() | st.floats(0.75, 1),
    seed=st.integers(0, 2**32 - 1),
    order=st.randoms(use_true_random=False),
)
def test_parts_are_disjoint_complete_sorted_and_repeatable(  # noqa: PLR0917 - one argument per strategy
    train, test_share, val_ratio, forget_ratio, limit_share, seed, order
):
    order.shuffle(train)
    test = np.repeat(np.unique(train), test_share)
    limit = None if limit_share is None else int(limit_share * len(train))
    arguments = {"limit": limit, "val_ratio": val_ratio, "forget_ratio": forget_ratio, "seed": seed}
    split = cut(train, test, **arguments)
    again = cut(train, test, **arguments)

    total = limit or len(train)
    parts = (split.retain, split.forget, split.val)
    everything = np.concatenate(parts)
    assert len(np.unique(everything)) == len(everything) == total
    assert set(everything) <= set(range(len(train)))
    n_val = round(val_ratio * total)
    assert sizes(split)[:3] == [
        total - n_val - round(forget_ratio * (total - n_val)),
        round(forget_ratio * (total - n_val)),
        n_val,
    ]
    for part, other in zip((*parts, split.test), (again.retain, again.forget, again.val, again.test), strict=True):
        assert part.dtype == np.int64
        assert np.all(np.diff(part) > 0)
        assert np.array_equal(part, other)
    if limit is None:
        assert np.array_equal(split.test, np.arange(len(test)))
    assert np.array_equal(split.train, np.setdiff1d(everything, split.val))


def test_another_seed_draws_another_split():
    assert not np.array_equal(cut(seed=1).forget, cut(seed=2).forget)


def test_the_validation_set_does_not_depend_on_the_forget_ratio():
    assert np.array_equal(cut(forget_ratio=0.1).val, cut(forget_ratio=0.3).val)


def test_forget_is_drawn_at_random_and_not_stratified():
    counts = np.bincount(CIFAR_TRAIN[cut().forget], minlength=10)
    assert counts.min() < 425 < counts.max()
    assert np.all(np.abs(counts - 425) < 5 * np.sqrt(425))


# ------------------------------------------------------------------------------------------------------ dataset.limit


def test_a_limit_keeps_the_proportions_of_the_classes_in_both_parts():
    train, test = np.repeat([0, 1, 2], [600, 300, 100]), np.repeat([0, 1, 2], [100, 60, 40])
    split = cut(train, test, limit=500)
    assert np.bincount(train[np.concatenate([split.train, split.val])]).tolist() == [300, 150, 50]
    assert np.bincount(test[split.test]).tolist() == [50, 30, 20]


def test_a_limit_keeps_at_least_one_sample_of_a_rare_class():
    train, test = np.repeat([0, 1, 2], [2000, 1990, 10]), np.repeat([0, 1, 2], [300, 298, 2])
    split = cut(train, test, limit=400, seed=0)
    assert len(split.train) + len(split.val) == 400
    assert np.all(np.bincount(test[split.test]) >= 1)
    tiny = stratified(np.repeat([0, 1, 2], [1000, 1000, 1]), 10, np.random.RandomState(0))
    assert np.bincount(np.repeat([0, 1, 2], [1000, 1000, 1])[tiny]).tolist() == [5, 4, 1]


def test_a_limit_of_the_whole_training_part_takes_all_of_it():
    assert sizes(cut(limit=50_000)) == sizes(cut())


@pytest.mark.parametrize("limit", [50_001, 99])
def test_a_limit_that_does_not_fit_is_refused_by_name(limit):
    with pytest.raises(ConfigError, match=r"dataset\.limit") as error:
        cut(limit=limit)
    assert error.value.given == limit
    assert error.value.allowed == "100 to 50000"
    cut(limit=min(max(limit, 200), 50_000))  # the nearest sensible value works


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=8), share=st.floats(0, 1), keep=st.integers(0, 1))
def test_stratified_shares_are_proportional_to_within_one(counts, share, keep):
    labels = np.repeat(np.arange(len(counts)), counts)
    size = round(share * len(labels))
    taken = np.bincount(labels[stratified(labels, size, np.random.RandomState(0), keep)], minlength=len(counts))
    most = np.maximum(np.array(counts) - keep, 0)
    assert np.all(taken <= most)
    assert np.all(taken >= np.minimum(1, most))
    if np.sum(np.minimum(1, most)) <= size <= np.sum(most):
        assert taken.sum() == size
    forced = np.sum(np.minimum(1, most)) + keep * len(counts)  # floors and ceilings move at most this many
    assert np.all(np.abs(taken - np.array(counts) * size / len(labels)) <= 1 + forced)


# ----------------------------------------------------------------------------------------------------------- refusals


def test_a_class_that_retain_lacks_is_refused():
    train = np.array([0] * 200 + [1] * 200 + [2])
    lost = [seed for seed in range(60) if 400 not in _retain_of(train, seed)]
    assert lost  # val or forget took the only sample of class 2
    with pytest.raises(ConfigError, match="retain set has no sample") as error:
        cut(train, train, seed=lost[0])
    assert "class 2" in error.value.given
    assert "forget.ratio" in error.value.remedy and "dataset.limit" in error.value.remedy


def _retain_of(train, seed):
    shuffled = np.random.RandomState(seed).permutation(len(train))
    n_val = round(0.15 * len(train))
    return shuffled[n_val + round(0.1 * (len(train) - n_val)) :]


@pytest.mark.parametrize(
    ("val_ratio", "forget_ratio", "named"),
    [(0.04, 0.1, "dataset.val_ratio"), (0.15, 0.0001, "forget.ratio")],
)
def test_sets_too_small_for_the_attack_are_refused(val_ratio, forget_ratio, named):
    train = np.repeat([0, 1], 100)
    with pytest.raises(ConfigError, match=named) as error:
        cut(train, train, val_ratio=val_ratio, forget_ratio=forget_ratio)
    assert "dataset.limit" in error.value.remedy


def test_a_limit_that_leaves_too_few_test_samples_is_refused():
    """2,000 training and 100 test images: limit=150 takes 8 of the 100, and the attack has 10 folds."""
    train, test = np.repeat([0, 1], 1000), np.repeat([0, 1], 50)
    with pytest.raises(ConfigError, match=r"dataset\.limit.*test part") as error:
        cut(train, test, limit=150, forget_ratio=0.2)
    assert error.value.given == "150 of 2000 training samples, which leaves 8 of 100 test samples"
    assert "dataset.limit=200" in error.value.remedy
    assert len(cut(train, test, limit=200, forget_ratio=0.2).test) == 10


@pytest.mark.parametrize("limit", [None, 300])
def test_a_test_part_that_is_too_small_as_a_whole_is_refused(limit):
    train, test = np.repeat([0, 1], 200), np.repeat([0, 1], [5, 4])
    with pytest.raises(ConfigError, match="test part has too few") as error:
        cut(train, test, limit=limit)
    assert error.value.given == "9 test samples"
    assert "dataset.test_ratio" in error.value.remedy


@pytest.mark.parametrize(("most", "fits"), [(90, True), (91, False), (100, False)])
def test_a_test_part_of_nearly_one_class_is_refused(most, fits):
    """A model is usable above 1.1 x the share of the commonest class: above 10 / 11 none ever is."""
    train, test = np.repeat([0, 1], 200), np.repeat([0, 1], [most, 100 - most])
    if fits:
        assert len(cut(train, test).test) == 100
        return
    with pytest.raises(ConfigError, match="no model could be usable") as error:
        cut(train, test)
    assert error.value.given == f"{most} of 100 test samples are of class 0"
    assert error.value.remedy


def test_ten_samples_a_side_are_enough():
    train = np.repeat([0, 1], 50)
    assert sizes(cut(train, train, val_ratio=0.1, forget_ratio=1 / 9)) == [80, 10, 10, 100]
