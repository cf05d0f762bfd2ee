"""What the models of other groups say, one by one; and intervals of the attacks that rest on it, by simulation."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean, variance

import numpy as np
import pytest

from deepunlearn.ulira.attack import judge
from deepunlearn.ulira.iam import Originals, iam
from deepunlearn.ulira.left_out import numbered, others, present
from deepunlearn.ulira.rmia import rmia
from deepunlearn.ulira.ruli import ruli
from deepunlearn.ulira.scores import Scores
from tests.ulira.plans import Plan, halved, random_roles


def test_a_group_s_own_models_are_left_out() -> None:
    plan = random_roles(halvings=6, models=3, samples=20, seed=0)
    values, index = np.random.default_rng(1).normal(50, 1, plan.positive.shape), numbered(plan.halving)
    found, there = others(values, index, plan.positive), present(plan.positive, index)
    for g in range(6):
        for x in range(20):
            rows = np.flatnonzero((index != g) & plan.positive[:, x])
            assert found.observations[g, x] == len(rows) and found.groups[g, x] == len(set(index[rows]))
            assert there[g, x] == plan.positive[index == g, x].any()
            if len(rows) > 1:
                assert found.mean[g, x] == pytest.approx(mean(values[rows, x].tolist()))
                assert found.variance[g, x] == pytest.approx(variance(values[rows, x].tolist()), rel=1e-6)


def by_iam(phi: np.ndarray, plan: Plan) -> Scores:
    """With originals that are sure of what they were trained on."""
    trained = ~plan.negative[::3]
    fitted = np.random.default_rng(len(phi)).normal(size=trained.shape) + 3 * trained
    return iam(phi, *plan, Originals(fitted, plan.halving[::3], trained))


@pytest.mark.slow
@pytest.mark.parametrize("attack", [lambda phi, plan: rmia(phi, *plan), by_iam, lambda phi, plan: ruli(phi, *plan)])
def test_intervals_cover_chance_where_nothing_differs(attack: Callable[[np.ndarray, Plan], Scores]) -> None:
    """12 halvings, the fewest that are run: at least 90 of 100 intervals of the AUC hold 0.5."""
    hits = 0
    for seed in range(100):
        plan = halved(halvings=12, parts=3, samples=40, seed=seed)
        auc = judge(attack(np.random.default_rng(seed).normal(size=plan.positive.shape), plan), *plan).auc
        hits += auc.low <= 0.5 <= auc.high
    assert hits >= 90
