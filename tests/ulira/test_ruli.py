"""RULI against scipy's kernel densities, and known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import gaussian_kde, norm

from deepunlearn.ulira import ruli as ruli_module
from deepunlearn.ulira.attack import judge
from deepunlearn.ulira.ruli import ruli
from tests.ulira.plans import halved, planted, random_roles


def test_agrees_with_scipy_s_densities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ruli_module, "_ELEMENTS", 2000)  # several blocks
    plan = random_roles(halvings=12, models=2, samples=30, seed=3)
    phi = (np.random.default_rng(4).normal(0, 2, plan.positive.shape) + plan.positive).astype(np.float32)
    found = ruli(phi, *plan)
    observed = list(zip(*np.nonzero(found.scored), strict=True))
    assert len(observed) > 100 and found.left_out > 0
    for m, x in observed:
        sides = [phi[(plan.halving != plan.halving[m]) & role[:, x], x] for role in (plan.positive, plan.negative)]
        one, other = (float(gaussian_kde(side)(phi[m, x])[0]) for side in sides)
        assert 1 / (1 + math.exp(-found.log_odds[m, x])) == pytest.approx(one / (one + other), abs=1e-4)


@pytest.mark.parametrize("separation", [0.0, 1.0, 4.0])
def test_planted_separations_come_out(separation: float) -> None:
    plan = halved(halvings=60, parts=2, samples=150, seed=1)
    found = judge(ruli(planted(plan, separation), *plan), *plan)
    assert found.accuracy.value == pytest.approx(norm.cdf(separation / 2), abs=0.03)
    assert found.auc.value == pytest.approx(norm.cdf(separation / math.sqrt(2)), abs=0.03)


def test_values_that_are_all_equal_but_one_are_told() -> None:
    plan = halved(halvings=12, parts=2, samples=10, seed=0)
    phi = np.where(plan.positive, 1e4, -1e4).astype(np.float32)
    assert judge(ruli(phi, *plan), *plan).accuracy.value == 1
