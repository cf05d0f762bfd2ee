"""Intervals against published values, slow inversions and how often they hold what they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from deepunlearn.deletion.intervals import auc, enough_for, least_drop, paired_drop, share
from deepunlearn.deletion.report import Estimate

Z = norm.ppf(0.975)


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None and estimate.high is not None
    return estimate.low, estimate.high


def test_shares_are_exact() -> None:
    assert ends(share(0, 10)) == pytest.approx((0.0, 1 - 0.025**0.1))
    assert ends(share(10, 10)) == pytest.approx((0.025**0.1, 1.0))


@pytest.mark.parametrize(
    ("lost", "gained", "samples", "low", "high"),
    [(12, 2, 50, 0.0611, 0.3447), (1, 0, 44, -0.0594, 0.1181)],
    ids=["Newcombe 1998, example (b) by Tango's method", "Tango 1998, soft lenses"],
)
def test_drops_are_those_that_are_published(lost: int, gained: int, samples: int, low: float, high: float) -> None:
    assert ends(paired_drop(lost, gained, samples)) == pytest.approx((low, high), abs=1e-4)


def likelihood_score(lost: int, gained: int, samples: int, drop: float) -> float:
    """The score statistic with the nuisance share found on a grid of the likelihood, as nobody would compute it."""
    least, most = max(0.0, -drop), (1 - drop) / 2
    shares = np.linspace(least, most, 200_001)[1:-1]
    likelihood = lost * np.log(shares + drop) + gained * np.log(shares)
    likelihood += (samples - lost - gained) * np.log(1 - 2 * shares - drop)
    best = shares[likelihood.argmax()]
    return float((lost - gained - samples * drop) / (samples * (2 * best + drop - drop**2)) ** 0.5)


@pytest.mark.parametrize(("lost", "gained", "samples"), [(7, 3, 40), (3, 7, 40), (60, 50, 1000)])
def test_the_ends_of_a_drop_are_where_its_score_test_just_does_not_refuse(lost: int, gained: int, samples: int) -> None:
    low, high = ends(paired_drop(lost, gained, samples))
    assert likelihood_score(lost, gained, samples, high) == pytest.approx(-Z, abs=5e-3)
    assert likelihood_score(lost, gained, samples, low) == pytest.approx(Z, abs=5e-3)


counts = st.integers(1, 400).flatmap(
    lambda samples: st.tuples(st.integers(0, samples), st.integers(0, samples), st.just(samples))
)


@settings(max_examples=60, deadline=None)
@given(counts)
def test_a_drop_lies_in_its_interval_and_turns_round_with_its_sides(one: tuple[int, int, int]) -> None:
    lost, gained, samples = one[0], min(one[1], one[2] - one[0]), one[2]
    drop, gain = paired_drop(lost, gained, samples), paired_drop(gained, lost, samples)
    low, high = ends(drop)
    assert -1 <= low <= drop.value <= high <= 1
    assert ends(gain) == pytest.approx((-high, -low), abs=1e-6)
    assert low < high


@pytest.mark.parametrize("drop", [0.005, 0.02, 0.3])
def test_so_many_samples_can_show_a_drop_and_not_one_fewer(drop: float) -> None:
    size = enough_for(drop)
    assert paired_drop(0, 0, size).high == pytest.approx(least_drop(size), abs=1e-6)
    assert least_drop(size) <= drop < least_drop(size - 1)


def test_at_chance_the_area_has_the_variance_of_mann_and_whitney() -> None:
    """The interval of an area that its null hypothesis just reaches ends at 0.5."""
    members, others = 20, 300
    spread = ((members + others + 1) / (12 * members * others)) ** 0.5
    assert ends(auc(0.5 + Z * spread, members, others))[0] == pytest.approx(0.5, abs=1e-6)
    assert ends(auc(0.5 - Z * spread, members, others))[1] == pytest.approx(0.5, abs=1e-6)


def test_an_attack_that_is_always_right_on_few_samples_is_not_sure() -> None:
    low, high = ends(auc(1.0, 10, 10))
    assert high == 1.0 and 0.7 < low < 0.9
    assert ends(auc(0.0, 10, 10)) == pytest.approx((1 - high, 1 - low))


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.integers(10, 500), st.integers(10, 5000))
def test_an_area_lies_in_its_interval_which_shrinks_with_samples(value: float, members: int, others: int) -> None:
    (low, high), (nearer, further) = ends(auc(value, members, others)), ends(auc(value, 4 * members, 4 * others))
    assert 0 <= low <= value <= high <= 1 and low < high
    assert further - nearer < high - low


@pytest.mark.parametrize("shift", [0.0, 1.2])
def test_nineteen_of_twenty_areas_are_held(shift: float) -> None:
    random, held, draws = np.random.default_rng(0), 0, 600
    truth = norm.cdf(shift / 2**0.5)
    for _ in range(draws):
        members, others = random.normal(shift, 1, 20), random.normal(0, 1, 60)
        low, high = ends(auc(float(np.mean(members[:, None] > others)), 20, 60))
        held += low <= truth <= high
    assert 0.92 <= held / draws <= 0.98
