"""Values of arrays that nobody can change are computed once; of all others each time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from deepunlearn.metrics.accuracy import losses
from deepunlearn.metrics.remembered import KEPT, of_read_only

Array = npt.NDArray[np.float64]


class Counting:
    """x + y, and how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, one: Array, other: Array) -> Array:
        self.calls += 1
        return one + other


def fixed(*values: float) -> Array:
    array = np.array(values)
    array.setflags(write=False)
    return array


@pytest.fixture
def added() -> Counting:
    return Counting()


def wrapped(counting: Counting):  # type: ignore[no-untyped-def]
    def function(one: Array, other: Array) -> Array:
        return counting(one, other)

    return of_read_only(function)


def test_the_same_arrays_are_asked_once_and_others_each(added: Counting) -> None:
    function, one, other = wrapped(added), fixed(1, 2), fixed(3, 4)
    first = function(one, other)
    assert function(one, other) is first and added.calls == 1
    assert function(other, one).tolist() == [4, 6] and added.calls == 2, "the order of arrays counts"
    assert function(one, fixed(3, 4)).tolist() == [4, 6] and added.calls == 3, "equal values in another array"


def test_what_can_be_changed_is_not_remembered(added: Counting) -> None:
    function, one, other = wrapped(added), fixed(1, 2), np.array([3.0, 4.0])
    assert function(one, other).tolist() == [4, 6]
    other += 1
    assert function(one, other).tolist() == [5, 7] and added.calls == 2


def test_a_result_cannot_be_changed_under_the_next_who_asks(added: Counting) -> None:
    result = wrapped(added)(fixed(1), fixed(2))
    with pytest.raises(ValueError, match="read-only"):
        result += 1


def test_arrays_that_are_gone_are_not_taken_for_new_ones(added: Counting) -> None:
    """A new array may get the address of one that was freed: those remembered are held."""
    function, other = wrapped(added), fixed(0)
    for number in range(5 * KEPT):
        assert function(fixed(number), other).tolist() == [number]
    assert added.calls == 5 * KEPT


def test_the_oldest_is_dropped_first_and_one_just_asked_for_stays(added: Counting) -> None:
    function, other, arrays = wrapped(added), fixed(0), [fixed(number) for number in range(KEPT + 1)]
    for array in arrays[:KEPT]:
        function(array, other)
    function(arrays[0], other)
    function(arrays[KEPT], other)
    before = added.calls
    function(arrays[0], other)
    assert added.calls == before
    function(arrays[1], other)
    assert added.calls == before + 1


def test_a_function_may_remember_more(added: Counting) -> None:
    function, other, arrays = (
        of_read_only(added.__call__, kept=2 * KEPT),
        fixed(0),
        [fixed(1.0 * n) for n in range(2 * KEPT)],
    )
    for array in (*arrays, *arrays):
        function(array, other)
    assert added.calls == 2 * KEPT


def test_losses_of_read_only_logits_are_those_of_others() -> None:
    logits = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)
    labels = np.arange(50) % 7
    frozen = [logits.copy(), labels.copy()]
    for array in frozen:
        array.setflags(write=False)
    assert losses(*frozen).tolist() == losses(logits, labels).tolist()
    assert losses(*frozen) is losses(*frozen)
