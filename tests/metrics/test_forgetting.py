"""The competition's forgetting score against its definition written out, known answers, traps of published code."""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepunlearn.metrics.forgetting import DELTA, epsilons, largest_epsilon, points

Column = list[float]


def bears_out(false_positives: float, false_negatives: float, cap: int) -> float | None:
    """Epsilon of one threshold, None where it is dropped."""
    if false_positives == 0 and false_negatives == 0:
        return cap
    if false_positives == 0 or false_negatives == 0:
        return None
    pairs = ((false_positives, false_negatives), (false_negatives, false_positives))
    found = [math.log((1 - DELTA - one) / other) for one, other in pairs if one < 1 - DELTA]
    return min(max(found, default=0.0), cap)


def slow(one: Column, other: Column) -> float:
    """Of one sample: every single threshold, every pair of thresholds."""
    cap, edges = math.ceil(math.log(len(one) - 1)), sorted({*one, *other})
    cuts = [-math.inf, *((a + b) / 2 for a, b in pairwise(edges)), math.inf]
    high, low = (one, other) if median(one) >= median(other) else (other, one)
    narrow, wide = (one, other) if max(one) - min(one) <= max(other) - min(other) else (other, one)

    def share(values: Column, left: float, right: float) -> float:
        return sum(left < value < right for value in values) / len(values)

    tried = [(share(low, cut, math.inf), 1 - share(high, cut, math.inf)) for cut in cuts]
    tried += [(share(wide, *two), 1 - share(narrow, *two)) for two in combinations(cuts, 2)]
    found = [bears_out(round(positive, 12), round(negative, 12), cap) for positive, negative in tried]
    return max([0.0, *(value for value in found if value is not None)])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(3, 12), st.booleans())
def test_agrees_with_the_definition_written_out(seed: int, models: int, tied: bool) -> None:
    generator = np.random.default_rng(seed)
    one, other = generator.normal(0, [[[1]], [[2]]], (2, models, 4)) + generator.normal(0, 1, (2, 1, 4))
    if tied:
        one, other = np.round(one), np.round(other)
    expected = [slow(one[:, x].tolist(), other[:, x].tolist()) for x in range(4)]
    np.testing.assert_allclose(epsilons(one, other), expected, atol=1e-9)


def test_separate_sets_get_the_largest_epsilon_that_so_many_models_bear_out() -> None:
    for models, cap in ((3, 1), (10, 3), (30, 4), (512, 7)):
        one = np.linspace(0, 1, models)[:, None]
        assert largest_epsilon(models) == cap
        assert epsilons(one, one + 2) == epsilons(one + 2, one) == [cap]
    inside = np.tile(np.array([[0.0], [10.0]]), (5, 1))
    assert epsilons(inside, np.full((10, 1), 5.0)) == [3], "between the others, which no single threshold sees"


def test_one_rate_of_zero_is_no_evidence() -> None:
    """One value of ten sticks out: taken at its word that threshold would bear out log(1 / 0)."""
    one = np.arange(10.0)[:, None]
    other = one + 0.5
    assert epsilons(one, other)[0] < 1


def test_equal_values_bear_out_nothing() -> None:
    assert epsilons(np.ones((10, 2)), np.ones((10, 2))).tolist() == [0, 0]


def test_points_halve_with_each_half_unit() -> None:
    assert points(np.array([0, 0.49, 0.5, 0.99, 1, 3])).tolist() == [1, 1, 0.5, 0.5, 0.25, 2**-6]


def test_the_order_of_models_and_the_side_play_no_part() -> None:
    generator = np.random.default_rng(3)
    one, other = generator.normal(size=(2, 15, 9))
    expected = epsilons(one, other)
    assert epsilons(one[::-1], other[generator.permutation(15)]).tolist() == expected.tolist()
    assert epsilons(other, one).tolist() == expected.tolist()


def test_fewer_than_three_models_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 models"):
        epsilons(np.zeros((2, 1)), np.ones((2, 1)))
