"""Memorisation: known answers, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest

from deepunlearn.ulira.memorisation import memorisation


def test_accuracy_in_minus_out() -> None:
    trained = np.array([[True, True, True], [True, True, False], [False, False, True], [False, False, False]])
    right = np.array([[True, True, True], [True, True, False], [False, True, False], [False, True, True]])
    found = memorisation(right, trained)
    assert found.score.tolist() == [1, 0, 0]
    assert (found.low <= found.score).all() and (found.score <= found.high).all()
    assert found.low[0] < 0.3, "two models on each side are no certainty"


def test_newcombe_s_own_example() -> None:
    """56/70 against 48/80: 0.2, from 0.0524 to 0.3339 (Newcombe 1998, table II, method 10)."""
    trained = np.arange(150)[:, None] < 70
    right = np.concatenate([np.arange(70) < 56, np.arange(80) < 48])[:, None]
    found = memorisation(right, trained)
    assert [found.score[0], found.low[0], found.high[0]] == pytest.approx([0.2, 0.0524, 0.3339], abs=1e-4)


def test_the_order_of_models_plays_no_part() -> None:
    generator = np.random.default_rng(0)
    right, trained = generator.random((2, 12, 50)) < 0.5
    mixed = generator.permutation(12)
    one, other = memorisation(right, trained), memorisation(right[mixed], trained[mixed])
    assert one.score.tolist() == other.score.tolist() and one.low.tolist() == other.low.tolist()


@pytest.mark.parametrize(("inside", "outside"), [(0.95, 0.3), (0.5, 0.5), (1.0, 0.9)])
def test_intervals_cover(inside: float, outside: float) -> None:
    """Of 8 models in and 8 out, as 16 halvings give, at least 91 % of 4,000 do: shares of 8 are coarse."""
    trained = np.repeat([True, False], 8)[:, None] & np.ones((1, 4000), bool)
    right = np.random.default_rng(0).random(trained.shape) < np.where(trained, inside, outside)
    found = memorisation(right, trained)
    assert np.mean((found.low <= inside - outside) & (inside - outside <= found.high)) >= 0.91


def test_a_sample_that_all_were_trained_on_is_refused() -> None:
    with pytest.raises(ValueError, match="some sample lacks"):
        memorisation(np.ones((4, 2), bool), np.array([[True, True]] * 3 + [[True, False]]))
