from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from deepunlearn.core.errors import Diverged
from deepunlearn.metrics.mia import (
    discernibility,
    indiscernibility,
    loss_auc,
    mia_accuracy,
    threshold_accuracy,
    understated,
)

Array = npt.NDArray[np.float64]


def draw(scale: float, size: int, seed: int) -> Array:
    return np.random.default_rng(seed).exponential(scale, size)


def slow_attack(members: Array, others: Array) -> float:
    """The definition written out: ten contiguous folds per side, the penalised likelihood minimised by scipy."""
    hits = []
    for fold in range(10):
        pairs = [(np.array_split(side, 10), label) for side, label in ((members, 1.0), (others, 0.0))]
        train = [(x, label) for folds, label in pairs for k, block in enumerate(folds) if k != fold for x in block]
        test = [(x, label) for folds, label in pairs for x in folds[fold]]
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


@pytest.mark.slow
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


# ---------------------------------------------------------------------------- attacks that do not depend on the scale


def test_small_losses_that_separate_perfectly_are_at_chance_for_the_regression_alone() -> None:
    members, others = np.full(100, 1e-6), np.full(100, 1e-4)
    assert mia_accuracy(members, others, seed=0) == 0.5 and indiscernibility(0.5) == 1.0
    assert loss_auc(members, others) == threshold_accuracy(members, others, seed=0) == 1.0
    assert understated(members, others, seed=0)


def test_small_losses_of_which_one_threshold_tells_most() -> None:
    """500 + 500 log-normal losses around e^-9 and e^-7.5: one threshold gets Phi(0.75) = 0.77."""
    members, others = (np.random.default_rng(0).lognormal(mean, 1, 500) for mean in (-9, -7.5))
    assert mia_accuracy(members, others, seed=0) < 0.53
    assert threshold_accuracy(members, others, seed=0) == pytest.approx(0.77, abs=0.02)
    assert loss_auc(members, others) == pytest.approx(0.856, abs=0.02)  # Phi(1.5 / sqrt 2)
    assert understated(members, others, seed=0)


@given(st.integers(0, 999), st.integers(1, 40), st.integers(1, 40))
def test_the_auc_is_scikit_learns_ties_included(seed: int, size: int, more: int) -> None:
    generator = np.random.default_rng(seed)
    members, others = generator.integers(0, 6, size) / 3, generator.integers(2, 9, more) / 3
    expected = roc_auc_score(np.repeat([1, 0], [size, more]), -np.concatenate([members, others]))
    assert loss_auc(members, others) == pytest.approx(expected)
    assert loss_auc(members, others) + loss_auc(others, members) == pytest.approx(1)


def test_only_the_order_of_losses_counts() -> None:
    members, others = draw(0.5, 80, seed=1), draw(0.9, 120, seed=2)
    for change in (np.log, np.exp, lambda x: x * 1e-9):
        assert loss_auc(change(members), change(others)) == loss_auc(members, others)
        assert threshold_accuracy(change(members), change(others), 3) == threshold_accuracy(members, others, 3)


def slow_threshold(members: Array, others: Array) -> float:
    """Every cut and both directions tried on nine folds; the first best one judged on the tenth."""
    hits = []
    for fold in range(10):
        pairs = [(np.array_split(side, 10), label) for side, label in ((members, True), (others, False))]
        train = [(x, label) for folds, label in pairs for k, block in enumerate(folds) if k != fold for x in block]
        test = [(x, label) for folds, label in pairs for x in folds[fold]]
        known = sorted({x for x, _ in train})
        cuts = [-np.inf, *((a + b) / 2 for a, b in pairwise(known)), np.inf]
        rules = [(cut, below) for below in (True, False) for cut in cuts]
        cut, below = max(rules, key=lambda rule: sum(((x < rule[0]) == rule[1]) == label for x, label in train))
        hits.append(np.mean([((x < cut) == below) == label for x, label in test]))
    return float(np.mean(hits))


@pytest.mark.parametrize("scale", [0.2, 0.5, 3.0])
def test_one_threshold_agrees_with_the_definition_written_out(scale: float) -> None:
    members, others = draw(0.5, 60, seed=1).round(1), draw(scale, 60, seed=2).round(1)
    generator = np.random.default_rng(5)
    shuffled = [side[generator.permutation(60)] for side in (members, others)]
    assert threshold_accuracy(members, others, seed=5) == pytest.approx(slow_threshold(*shuffled), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("size", [30, 122, 450, 4000])
@pytest.mark.parametrize("scale", [0.05, 0.5, 0.9])
def test_an_attack_that_works_is_not_said_to_understate(size: int, scale: float) -> None:
    """Among losses as networks have them, told apart or not, both attacks find nearly the same."""
    flagged = sum(understated(draw(scale, size, seed), draw(0.5, size, seed + 100), seed) for seed in range(8))
    assert flagged == 0


@pytest.mark.parametrize("attack", [loss_auc, lambda one, other: threshold_accuracy(one, other, 0)])
def test_broken_losses_are_a_divergence_for_every_attack(attack: Callable[[Array, Array], float]) -> None:
    broken = draw(0.5, 20, seed=1)
    broken[3] = np.inf
    with pytest.raises(Diverged, match="1 of 20 samples"):
        attack(broken, draw(0.5, 20, seed=2))
