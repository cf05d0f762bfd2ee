"""Intervals over models cover, and chance levels are those of no difference: shown by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from deepunlearn.metrics.accuracy import Floats
from deepunlearn.metrics.forgetting import epsilons, points
from deepunlearn.metrics.klom import Bins, binned, klom, klom_of_bins
from deepunlearn.metrics.resampled import Level, Statistic, Wide, levels


def distance(unlearned: Floats, retrained: Floats) -> Wide:
    return np.array([np.mean(unlearned) - np.mean(retrained)])


def test_of_a_mean_the_interval_is_student_s() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.normal(size=(2, 12, 1, 5))
    (level,) = levels(distance, one, other, seed=0)
    pairs = (one - other).mean(axis=(1, 2))
    half = student.ppf(0.975, 11) * pairs.std(ddof=1) / math.sqrt(12)
    assert [level.value, level.low, level.high] == pytest.approx(
        [pairs.mean(), pairs.mean() - half, pairs.mean() + half]
    )


def test_two_groups_have_no_interval_and_the_same_seed_gives_the_same_level() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 2, 3, 5))
    (level,) = levels(distance, one, other, seed=0)
    assert math.isnan(level.low) and math.isnan(level.high) and math.isfinite(level.chance)
    (again,) = levels(distance, one, other, seed=0)
    assert again.chance == level.chance


def test_what_is_prepared_once_gives_the_same_levels_bit_for_bit() -> None:
    one, other = drawn(np.random.default_rng(0), 6, 40, 0.5)

    def of_bins(unlearned: Bins, retrained: Bins) -> Wide:
        return np.array([klom_of_bins(unlearned, retrained).mean()])

    assert levels(of_bins, one, other, seed=0, prepared=binned) == levels(klom_mean, one, other, seed=0)


def klom_mean(unlearned: Floats, retrained: Floats) -> Wide:
    return np.array([klom(unlearned, retrained).mean()])


def forgetting(unlearned: Floats, retrained: Floats) -> Wide:
    return np.array([points(epsilons(unlearned, retrained)).mean()])


def drawn(generator: np.random.Generator, models: int, samples: int, shift: float) -> Floats:
    """Margins under both sides' models, which differ from one another on all samples at once."""
    margins = generator.normal(size=(2, models, 1, samples)) + 0.5 * generator.normal(size=(2, models, 1, 1))
    margins[0] += shift
    return margins


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [klom_mean, forgetting])
def test_intervals_cover_the_mean_over_models_and_chance_is_passed_by_chance(statistic: Statistic) -> None:
    """10 models a side, 30 samples: at least 92 % of intervals cover; 5 % of values without difference stick out."""
    generator = np.random.default_rng(1)
    true = np.mean([statistic(*drawn(generator, 10, 30, 1.0)[:, :, 0]) for _ in range(300)])
    apart: list[Level] = [levels(statistic, *drawn(generator, 10, 30, 1.0), seed=0)[0] for _ in range(100)]
    assert np.mean([one.low <= true <= one.high for one in apart]) >= 0.92
    alike: list[Level] = [levels(statistic, *drawn(generator, 10, 30, 0.0), seed=0)[0] for _ in range(100)]
    assert np.mean([one.value > one.chance_high for one in alike]) <= 0.1
    assert np.mean([one.value < one.chance_low for one in alike]) <= 0.1
