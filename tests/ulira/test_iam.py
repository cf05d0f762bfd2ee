"""IAM against its definition written out, and known answers."""

from __future__ import annotations

import math
from statistics import mean, stdev

import numpy as np
import pytest
from scipy.stats import gumbel_r

from deepunlearn.ulira.attack import judge
from deepunlearn.ulira.iam import Originals, bounded_gumbel, iam
from tests.ulira.plans import Plan, halved, planted, random_roles


def signal(phi: float) -> float:
    return -math.log(0.01 - math.log(1e-5 + 1 / (1 + math.exp(-phi))))


def originals_of(plan: Plan, parts: int, seed: int = 0) -> Originals:
    """One for each halving, sure of what it was trained on."""
    trained = ~plan.negative[::parts]
    phi = np.random.default_rng(seed).normal(5, 0.5, trained.shape) - 5 * ~trained
    return Originals(phi.astype(np.float32), plan.halving[::parts], trained)


def slow(phi: np.ndarray, plan: Plan, originals: Originals, m: int, x: int) -> float:
    away = [k for k in range(len(phi)) if plan.halving[k] != plan.halving[m] and plan.negative[k, x]]
    fitted = mean(
        signal(float(originals.phi[k, x]))
        for k in range(len(originals.phi))
        if originals.group[k] != plan.halving[m] and originals.trained[k, x]
    )
    out = [signal(float(phi[k, x])) for k in away]
    total = weights = 0.0
    for number in range(99):
        step, following = number / 99, (number + 1) / 99
        centre, spread = (1 - step) * mean(out) + step * fitted, (1 - step) * stdev(out)
        scale = math.sqrt(6) * spread / math.pi
        total += following * gumbel_r.cdf(signal(float(phi[m, x])), centre - 0.5772156649 * scale, scale)
        weights += following
    return total / weights


def test_agrees_with_the_definition_written_out() -> None:
    plan = halved(halvings=12, parts=2, samples=20, seed=3)
    phi, originals = planted(plan, 1.0), originals_of(plan, 2)
    found = iam(phi, *plan, originals)
    for m, x in list(zip(*np.nonzero(found.scored), strict=True))[::37]:
        assert 1 / (1 + math.exp(-found.log_odds[m, x])) == pytest.approx(slow(phi, plan, originals, m, x), abs=2e-5)


def test_nothing_to_find_is_chance_though_originals_differ_and_originals_are_found() -> None:
    plan = halved(halvings=16, parts=4, samples=400, seed=1)
    originals = originals_of(plan, 4)
    alike = judge(iam(np.random.default_rng(0).normal(size=plan.positive.shape), *plan, originals), *plan)
    assert 0.48 <= alike.auc.value <= 0.52
    unlearned = np.random.default_rng(0).normal(size=plan.positive.shape) + 5 * plan.positive
    assert judge(iam(unlearned, *plan, originals), *plan).auc.value > 0.97


def test_the_map_is_bounded() -> None:
    ends = bounded_gumbel(np.array([-1e4, 0.0, 1e4]))
    assert np.isfinite(ends).all() and (np.diff(ends) > 0).all()
    assert ends[0] == pytest.approx(-math.log(0.01 - math.log(1e-5)))


def test_samples_with_too_few_others_are_left_out_and_strange_originals_refused() -> None:
    plan = random_roles(halvings=8, models=2, samples=30, seed=3)
    phi = np.random.default_rng(4).normal(0, 2, plan.positive.shape)
    names = np.unique(plan.halving)
    trained = np.random.default_rng(5).random((8, 30)) < 0.5
    assert iam(phi, *plan, Originals(phi[:8], names, trained)).left_out > 0
    with pytest.raises(ValueError, match="originals are of groups"):
        iam(phi, *plan, Originals(phi[:7], names[:7], trained[:7]))
