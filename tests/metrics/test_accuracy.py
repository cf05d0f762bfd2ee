from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import logsumexp

from deepunlearn.core.errors import Diverged
from deepunlearn.metrics.accuracy import accuracy, answers, log_sum_exp, losses


def slow_loss(row: list[float], label: int) -> float:
    """Cross-entropy term by term with exact sums, relative to the own logit."""
    return math.log(math.fsum(math.exp(value - row[label]) for value in row))


def test_accuracy_counts_hits() -> None:
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, -1.0], [0.0, 0.5]], dtype=np.float32)
    assert accuracy(logits, np.array([0, 1, 1, 0])) == 0.5


@given(st.lists(st.lists(st.floats(-30, 30), min_size=3, max_size=3), min_size=1, max_size=20), st.integers(0, 2))
def test_losses_agree_with_the_slow_sum(rows: list[list[float]], label: int) -> None:
    found = losses(np.array(rows), np.full(len(rows), label))
    np.testing.assert_allclose(found, [slow_loss(row, label) for row in rows], rtol=1e-9, atol=1e-15)


@given(
    arrays(np.float64, (7, 5), elements=st.sampled_from([-2.0, 0.0, 3.5, 700.0]) | st.floats(-800, 800)), st.booleans()
)
def test_log_sum_exp_is_scipys_bit_for_bit(values: np.ndarray, some_infinite: bool) -> None:
    values[:, 2] = -np.inf if some_infinite else values[:, 1]  # and several largest ones
    assert np.array_equal(log_sum_exp(values), logsumexp(values, axis=1))


@given(st.floats(-1e4, 1e4))
def test_losses_do_not_change_with_a_shift(shift: float) -> None:
    logits, labels = np.random.default_rng(0).normal(size=(6, 4)), np.array([0, 1, 2, 3, 0, 1])
    np.testing.assert_allclose(losses(logits + shift, labels), losses(logits, labels), atol=1e-9)


def test_the_answer_is_the_lowest_of_the_largest() -> None:
    assert answers(np.array([[1.0, 2.0, 2.0], [0.0, -1.0, 0.0]])).tolist() == [1, 0]


def test_losses_known_values() -> None:
    assert losses(np.zeros((2, 10), dtype=np.float32), np.array([3, 7])) == pytest.approx([math.log(10)] * 2)
    large = losses(np.array([[1e4, 0.0], [1e4, 0.0]], dtype=np.float32), np.array([0, 1]))
    assert large.dtype == np.float64
    assert large.tolist() == [0.0, 1e4]


def test_small_losses_keep_their_digits() -> None:
    """A confident answer at 1000 + 30: logsumexp(logits) - logit has a resolution of 2e-13 there."""
    assert losses(np.array([[1030.0, 1000.0]]), np.array([0]))[0] == pytest.approx(math.exp(-30), rel=1e-2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_broken_logits_are_not_scored(bad: float) -> None:
    logits = np.array([[0.0, 1.0], [bad, 0.0]])
    for function in (accuracy, losses):
        with pytest.raises(Diverged, match="1 of 2 samples"):
            function(logits, np.array([1, 1]))
