"""Unseen samples like the forgotten ones: as many as there can be, in the proportions of their classes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.forget.matching import by_class

some_labels = st.lists(st.integers(0, 5), max_size=60).map(lambda labels: np.array(labels, dtype=np.int64))


def taken(forgotten, labels, seed=0):
    return by_class(forgotten, labels, np.random.RandomState(seed))


def test_proportions_are_those_of_the_forget_set():
    forgotten = np.repeat([0, 1, 3], [30, 10, 20])
    labels = np.random.RandomState(1).permutation(np.repeat([0, 1, 2, 3], [90, 90, 90, 40]))
    assert np.bincount(labels[taken(forgotten, labels)]).tolist() == [60, 20, 0, 40]


def test_a_class_that_is_not_there_leaves_the_others_in_proportion():
    forgotten, labels = np.repeat([0, 1, 2], [2, 1, 5]), np.repeat([0, 1], [10, 10])
    assert np.bincount(labels[taken(forgotten, labels)]).tolist() == [10, 5]
    assert not len(taken(np.array([4]), labels)) and not len(taken(forgotten, np.zeros(0, dtype=np.int64)))


@given(forgotten=some_labels, labels=some_labels, seed=st.integers(0, 99))
def test_no_larger_set_has_these_proportions(forgotten, labels, seed):
    positions = taken(forgotten, labels, seed)
    assert np.array_equal(positions, np.unique(positions)) and np.array_equal(positions, taken(forgotten, labels, seed))
    wanted, there, got = (np.bincount(one, minlength=6) for one in (forgotten, labels, labels[positions]))
    both = (wanted > 0) & (there > 0)
    assert not got[~both].any() and (got <= there).all()
    if both.any():
        scale = min(there[both] / wanted[both])  # by hand: the class that runs out first
        assert (np.abs(got[both] - wanted[both] * scale) < 1).all()
        assert (got[both] == there[both]).any()


def test_which_samples_of_a_class_are_taken_is_drawn():
    forgotten, labels = np.repeat([0, 1], [1, 1]), np.repeat([0, 1], [50, 5])
    first, other = taken(forgotten, labels, 0), taken(forgotten, labels, 1)
    assert len(first) == len(other) == 10 and not np.array_equal(first, other)
