"""RMIA against its definition written out, and known answers."""

from __future__ import annotations

import math
from statistics import mean

import numpy as np
import pytest

from deepunlearn.ulira.attack import judge
from deepunlearn.ulira.rmia import rmia
from tests.ulira.plans import Plan, halved, planted, random_roles


def slow(phi: np.ndarray, plan: Plan) -> dict[tuple[int, int], float]:
    """Observation -> share of the model's never-seen samples that are below it, all one by one."""
    p = [[1 / (1 + math.exp(-float(value))) for value in row] for row in phi]
    found = {}
    for m in range(len(phi)):
        away = [k for k in range(len(phi)) if plan.halving[k] != plan.halving[m]]
        ratios = {}
        for x in range(phi.shape[1]):
            out = [k for k in away if plan.negative[k, x]]
            if len({int(plan.halving[k]) for k in out}) >= 4 and (plan.positive[m, x] or plan.negative[m, x]):
                ratios[x] = p[m][x] / ((1.3 * mean(p[k][x] for k in out) + 0.7) / 2)
        for x, ratio in ratios.items():
            others = [ratios[z] for z in ratios if plan.negative[m, z] and z != x]
            found[m, x] = (sum(one < ratio for one in others) + 0.5) / (len(others) + 1)
    return found


def test_agrees_with_the_definition_written_out() -> None:
    plan = random_roles(halvings=8, models=2, samples=30, seed=3)
    phi = np.random.default_rng(4).normal(0, 2, plan.positive.shape).astype(np.float32)
    found, expected = rmia(phi, *plan), slow(phi, plan)
    assert {(int(m), int(x)) for m, x in zip(*np.nonzero(found.scored), strict=True)} == set(expected)
    for (m, x), share in expected.items():
        assert 1 / (1 + math.exp(-found.log_odds[m, x])) == pytest.approx(share, abs=1e-5)
    assert found.left_out > 0


def test_nothing_to_find_is_chance_and_much_is_found() -> None:
    plan = halved(halvings=16, parts=4, samples=400, seed=1)
    for separation, low, high in ((0.0, 0.48, 0.52), (6.0, 0.85, 1.0)):
        auc = judge(rmia(planted(plan, separation), *plan), *plan).auc.value
        assert low <= auc <= high


def test_one_group_is_refused() -> None:
    plan = halved(halvings=2, parts=2, samples=10, seed=0)
    with pytest.raises(ValueError, match="needs others"):
        rmia(planted(plan, 0.0), *plan)
