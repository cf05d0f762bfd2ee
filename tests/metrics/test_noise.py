"""The noise floor of the loss attack, and where its two forms contradict each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from deepunlearn.metrics.mia import discernibility, indiscernibility, loss_auc, mia_accuracy, threshold_accuracy
from deepunlearn.metrics.noise import FLOORS, contradiction, disc_auc_floor_of, floor_of, simulated


@pytest.mark.slow
def test_the_floor_is_that_of_the_attack_at_a_size_that_is_not_listed() -> None:
    """The mean of 60 attacks is known to 0.006, of which a floor of a plain normal or exponential is further away."""
    assert 122 not in FLOORS
    found = simulated(122, 60)
    assert floor_of(122).mean == pytest.approx(found.mean(), abs=0.018)
    assert 0.8 < np.mean(found > floor_of(122).end) <= 1
    assert simulated(122, 3).tolist() == found[:3].tolist(), "seeded"


def test_floors_rise_with_the_size_to_one() -> None:
    sizes = [20, 50, 122, 450, 4250, 60_000]
    for column in zip(*map(floor_of, sizes), strict=True):
        assert list(column) == sorted(column)
    assert all(floor_of(size).end < floor_of(size).mean < 1 for size in sizes)
    assert floor_of(100) == FLOORS[100]
    assert 1 - floor_of(40_000).mean == pytest.approx((1 - floor_of(10_000).mean) / 2)


def test_the_floor_of_disc_auc_is_that_of_samples_of_one_distribution() -> None:
    generator = np.random.default_rng(0)
    drawn = [discernibility(loss_auc(generator.random(40), generator.random(90))) for _ in range(2000)]
    floor = disc_auc_floor_of(40, 90)
    assert floor.mean == pytest.approx(np.mean(drawn), rel=0.05)
    assert np.mean(np.array(drawn) < floor.end) == pytest.approx(0.95, abs=0.015)


def test_losses_that_the_regression_cannot_see_are_a_contradiction() -> None:
    """1e-5 against 1e-3: one threshold is always right, and Indisc is the best there is."""
    members, others = np.full(50, 1e-5), np.full(50, 1e-3)
    indisc = indiscernibility(mia_accuracy(members, others, seed=0))
    disc_auc = discernibility(loss_auc(members, others))
    assert (indisc, disc_auc) == (1.0, 1.0)
    assert contradiction(np.array([indisc]), np.array([disc_auc])) > 1 - floor_of(50).end


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_models_that_are_merely_told_apart_are_no_contradiction(distance: float) -> None:
    """Two Gaussians: Disc 2 Phi(d / 2) - 1 and Disc_AUC 2 Phi(d / sqrt 2) - 1 differ by up to 0.16."""
    disc, disc_auc = (2 * norm.cdf(distance / by) - 1 for by in (2, 2**0.5))
    assert contradiction(np.array([1 - disc]), np.array([disc_auc])) == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_best_threshold_never_contradicts_the_area_from_below(seed: int) -> None:
    """Whatever the losses: no area needs more than the best threshold sees."""
    generator = np.random.default_rng(seed)
    members, others = np.exp(generator.normal(size=300)), generator.gamma(generator.uniform(0.1, 3), size=300)
    best = discernibility(max(threshold_accuracy(members, others, 0), 0.5)) + 0.06  # cross-validation costs a little
    disc_auc = discernibility(loss_auc(members, others))
    assert 1 - np.sqrt(1 - disc_auc) <= best


def test_a_disc_above_the_area_is_one_too() -> None:
    """Members in the middle of the others: a threshold tells half of them, the area is that of chance."""
    assert contradiction(np.array([0.5]), np.array([0.0])) == pytest.approx(0.5)


def test_what_is_not_defined_is_no_contradiction() -> None:
    assert np.isnan(contradiction(np.array([np.nan, 0.5]), np.array([0.5, np.nan]))).all()
