"""U-LiRA's splits: the protocol's sizes, who is trained on, forgotten, never seen where, pinned streams, refusals."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepunlearn.core.errors import ConfigError
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.halves import Halves, HalvesForget
from deepunlearn.forget.random import RandomForget
from tests.data.small_data import CIFAR_TEST, CIFAR_TRAIN


def cut(train=CIFAR_TRAIN, test=CIFAR_TEST, *, limit=None, val_ratio=0.05, halvings=12, parts=5, seed=123) -> Halves:
    design = HalvesForget.model_construct(name="halves", halvings=halvings, parts=parts)  # also smaller than may be run
    halves = make_splits(train, test, limit=limit, val_ratio=val_ratio, forget=design, seed=seed)
    assert isinstance(halves, Halves)
    return halves


@pytest.mark.slow
def test_cifar10_has_the_sizes_of_the_protocol() -> None:
    halves = cut(parts=10)
    split = halves.of(0)
    assert len(halves.pool) == 47_500 and len(halves.val) == 2_500
    assert len(split.train) == 23_750 and len(split.forget) == 2_375


def test_the_halvings_of_cifar10_never_change() -> None:
    """Golden: a change of these orphans every stored model."""
    halves = cut()
    content = halves.pool.astype("<i8").tobytes() + halves.val.astype("<i8").tobytes() + halves.part.tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "ed8b37eb759259eb"


@settings(max_examples=25, deadline=None)
@given(size=st.integers(300, 900), halvings=st.integers(1, 4), parts=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))
def test_every_sample_is_forgotten_once_in_half_of_the_halvings(
    size: int, halvings: int, parts: int, seed: int
) -> None:
    labels = np.arange(size) % 2
    halves = cut(labels, labels[:50], val_ratio=0.1, halvings=2 * halvings, parts=parts, seed=seed)
    assert np.array_equal(np.sort(np.concatenate([halves.pool, halves.val])), np.arange(size))
    assert ((halves.part >= 0).sum(axis=0) == halvings).all()
    assert np.array_equal(halves.part[0::2] >= 0, halves.part[1::2] < 0), "pairs are complements"
    for halving in range(2 * halvings):
        splits = [halves.of(halving * parts + part) for part in range(parts)]
        forgotten = np.concatenate([split.forget for split in splits])
        assert len(np.unique(forgotten)) == len(forgotten)
        for split in splits:
            assert np.array_equal(split.train, np.sort(forgotten))
            assert not np.intersect1d(split.retain, split.forget).size
            assert np.array_equal(split.retain, np.sort(split.retain)) and np.array_equal(split.val, halves.val)
        assert np.ptp([len(split.forget) for split in splits]) <= 1


def test_halvings_differ_and_depend_on_the_seed() -> None:
    halves, other = cut(), cut(seed=7)
    assert 0.45 < ((halves.part[0] >= 0) & (halves.part[2] >= 0)).mean() / 0.5 < 0.55
    assert not np.array_equal(halves.part, other.part)


def test_the_validation_set_is_that_of_the_main_sweep() -> None:
    tenth = RandomForget(name="random", ratio=0.1)
    split = make_splits(CIFAR_TRAIN, CIFAR_TEST, limit=1000, val_ratio=0.05, forget=tenth, seed=123).of(0)
    halves = cut(limit=1000)
    assert np.array_equal(halves.val, split.val) and np.array_equal(halves.test, split.test)


def test_forget_sets_too_small_for_the_attack_are_refused() -> None:
    with pytest.raises(ConfigError, match="forget set is too small"):
        cut(limit=200, val_ratio=0.1, parts=20)


def test_a_limit_that_leaves_too_few_test_samples_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.limit.*test part"):
        cut(np.repeat([0, 1], 1000), np.repeat([0, 1], 40), limit=200, val_ratio=0.1)


def test_a_test_part_of_one_class_will_do() -> None:
    """No model of the design is called usable or not by its accuracy there."""
    assert len(cut(np.repeat([0, 1], 1000), np.zeros(40, dtype=int), val_ratio=0.1).test) == 40


def test_a_class_that_a_retain_set_lacks_is_refused() -> None:
    labels = np.array([0] * 500 + [1] * 2)
    with pytest.raises(ConfigError, match="no sample of some classes"):
        cut(labels, labels)


def test_sizes_are_those_of_each_split():
    """Also where forget sets differ by a sample, and the two halvings of a pair as well."""
    labels = np.arange(1015) % 5
    halves = cut(labels, labels[:100], val_ratio=0.1, parts=4, seed=1)
    seen = set()
    assert halves.seeds == range(48)
    for model in halves.seeds:
        split, sizes = halves.of(model), halves.sizes(model)
        assert sizes == {name: len(getattr(split, name)) for name in ("retain", "forget", "val", "test")}
        seen.add(sizes["forget"])
    assert len(seen) == 2
