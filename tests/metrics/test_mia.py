from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from deepunlearn.core.errors import Diverged
from deepunlearn.metrics.mia import discernibility, indiscernibility, mia_accuracy

Array = npt.NDArray[np.float64]


def draw(scale: float, size: int, seed: int) -> Array:
    return np.random.default_rng(seed).exponential(scale, size)


def slow_attack(members: Array, others: Array) -> float:
    """The definition written out: ten contiguous folds per side, the penalised likelihood minimised by scipy."""
    hits = []
    for fold in range(10):
        pairs = [(np.array_split(side, 10), label) for side, label in ((members, 1.0), (others, 0.0))]
        train = [(x, label) for parts, label in pairs for k, part in enumerate(parts) if k != fold for x in part]
        test = [(x, label) for parts, label in pairs for x in parts[fold]]
        x, y = np.array(train).T

        def objective(p: Array, x: Array = x, y: Array = y) -> float:
            z = p[0] * x + p[1]
            return float(np.sum(np.logaddexp(0, z) - y * z) + p[0] ** 2 / 2)

        slope, offset = minimize(objective, np.zeros(2), method="BFGS").x
        hits.append(np.mean([(slope * x + offset > 0) == bool(label) for x, label in test]))
    return float(np.mean(hits))


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_agrees_with_the_definition_written_out(scale: float) -> None:
    members, others = draw(0.5, 80, seed=1), draw(scale, 80, seed=2)
    generator = np.random.default_rng(5)
    shuffled = [side[generator.permutation(80)] for side in (members, others)]
    assert mia_accuracy(members, others, seed=5) == pytest.approx(slow_attack(*shuffled), abs=1e-9)


def test_same_distribution_is_chance() -> None:
    assert mia_accuracy(draw(0.4, 4000, seed=1), draw(0.4, 4000, seed=2), seed=0) == pytest.approx(0.5, abs=0.02)


def test_separable_is_certain() -> None:
    assert mia_accuracy(draw(0.1, 200, seed=1), 10 + draw(0.1, 300, seed=2), seed=0) == 1.0


def test_the_larger_side_is_trimmed_at_random() -> None:
    """Only the tail of the larger side differs from the members: an attack on its head alone would be at chance."""
    others = np.concatenate([np.zeros(50), np.full(950, 20.0)])
    assert mia_accuracy(np.zeros(50), others, seed=0) > 0.9


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 4.0))
def test_shuffling_the_inputs_changes_little(seed: int, scale: float) -> None:
    members, others = draw(0.5, 600, seed=1), draw(scale, 600, seed=2)
    generator = np.random.default_rng(seed)
    again = mia_accuracy(generator.permutation(members), generator.permutation(others), seed=0)
    assert again == pytest.approx(mia_accuracy(members, others, seed=0), abs=0.06)


def test_same_seed_same_bits() -> None:
    members, others = draw(0.5, 100, seed=1), draw(0.7, 300, seed=2)
    assert mia_accuracy(members, others, seed=3) == mia_accuracy(members, others, seed=3)
    assert len({mia_accuracy(members, others, seed=seed) for seed in range(5)}) > 1


@pytest.mark.parametrize("side", [0, 1])
def test_broken_losses_are_a_divergence(side: int) -> None:
    sides = [draw(0.5, 20, seed=1), draw(0.5, 20, seed=2)]
    sides[side][7] = np.nan
    with pytest.raises(Diverged, match="1 of 20 samples"):
        mia_accuracy(*sides, seed=0)


def test_too_few_samples_are_our_mistake() -> None:
    with pytest.raises(ValueError, match="at least 10 losses per side, got 9"):
        mia_accuracy(draw(1, 9, seed=0), draw(1, 50, seed=1), seed=0)


def test_indiscernibility_of_known_attacks() -> None:
    assert [indiscernibility(mia) for mia in (0.5, 1.0, 0.0)] == [1.0, 0.0, 0.0]
    assert indiscernibility(0.75) == indiscernibility(0.25) == discernibility(0.75) == 0.5


@given(st.floats(0, 1))
def test_discernibility_is_symmetric_and_bounded(mia: float) -> None:
    assert 0 <= discernibility(mia) <= 1
    assert discernibility(mia) == pytest.approx(discernibility(1 - mia))


def test_quick_enough_at_full_size() -> None:
    """The bound is many times what it takes, in processor time, best of three: only a wrong order of growth fails."""
    members, others = draw(0.05, 4250, seed=1), draw(0.9, 10000, seed=2)
    taken = []
    for seed in range(3):
        start = time.process_time()
        mia_accuracy(members, others, seed)
        taken.append(time.process_time() - start)
    assert min(taken) < 1
