"""KLoM, forgetting score and memorisation of a design: which models are held against which, and what is said if few."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepunlearn.forget.halves import Halves, HalvesForget, draw_halvings
from deepunlearn.metrics.forgetting import epsilons, points
from deepunlearn.metrics.klom import klom
from deepunlearn.ulira.attack_stage import pairs_of, roles
from deepunlearn.ulira.verdicts import Bank, in_groups, left_over, utility, verdicts

SAMPLES = 120


def bank(halvings: int, parts: int, left: float, *, stored: bool = True) -> Bank:
    """Models whose margins of forgotten samples lie `left` above those of retrained models."""
    none = np.empty(0, dtype=np.int64)
    part = draw_halvings(SAMPLES, halvings, parts, np.random.RandomState(0))
    design = HalvesForget.model_construct(name="halves", halvings=halvings, parts=parts)
    models = list(range(halvings * parts))
    found = roles(Halves(np.arange(SAMPLES), none, none, part), design, models, shared=False)
    generator = np.random.default_rng(1)
    phi, retrained = generator.normal(0, 1, (2, len(models), SAMPLES))
    phi = phi + left * found["positive"]["forgotten"]
    right, retrained_right = (
        (generator.random((2, *phi.shape)) < np.array([0.5, 0.8])[:, None, None]) if stored else (None, None)
    )
    masks = {**found["positive"], "never": found["never"]}
    return Bank(phi, retrained, pairs_of(design, models), masks, right, retrained_right)


def by_name(given: Bank) -> dict[tuple[str, str], dict[str, float]]:
    return {(line["verdict"], line["samples"]): line for line in verdicts(given)}


def test_each_sample_s_own_models_are_held_against_the_retrained_ones_beside_them() -> None:
    given = bank(20, 2, 1.0)
    found = by_name(given)
    divergences, scores = [], []
    for x in range(SAMPLES):
        own = given.roles["forgotten"][:, x]
        divergences.append(klom(given.phi[own, x][:, None], given.retrained[own, x][:, None])[0])
        scores.append(points(epsilons(given.phi[own, x][:, None], given.retrained[own, x][:, None]))[0])
    assert found["KLoM, mean", "forgotten"]["value"] == pytest.approx(np.mean(divergences))
    assert found["KLoM, 95th percentile", "forgotten"]["value"] == pytest.approx(np.quantile(divergences, 0.95))
    assert found["forgetting score", "forgotten"]["value"] == pytest.approx(np.mean(scores))
    assert [found["KLoM, mean", name]["models"] for name in ("forgotten", "retained", "never")] == [10, 10, 20]


def test_perfect_unlearning_is_near_chance_and_none_is_not() -> None:
    alike, apart = by_name(bank(20, 2, 0.0)), by_name(bank(20, 2, 20.0))
    one = alike["KLoM, mean", "forgotten"]
    assert one["chance_low"] * 0.98 <= one["value"] <= one["chance_high"] * 1.02
    assert apart["KLoM, mean", "forgotten"]["value"] == pytest.approx(math.log(1e5), rel=0.1)
    assert apart["KLoM, mean", "never"]["value"] == pytest.approx(alike["KLoM, mean", "never"]["value"])
    score = apart["forgetting score", "forgotten"]
    assert (
        score["value"] == 2.0**-6
        and score["largest_epsilon"] == 3 < alike["forgetting score", "forgotten"]["value"] * 64
    )


def test_few_halvings_say_what_is_needed() -> None:
    found = by_name(bank(12, 2, 0.0))
    assert found["KLoM, mean", "forgotten"]["value"] is None
    assert found["KLoM, mean", "forgotten"]["reason"] == "needs 20 halvings"
    assert found["forgetting score", "forgotten"]["largest_epsilon"] == 2


def test_what_models_are_good_for_multiplies_the_score_where_that_is_stored() -> None:
    found, given = by_name(bank(20, 2, 1.0)), bank(20, 2, 1.0)
    factor = utility(given)
    assert factor == pytest.approx((0.5 / 0.8) ** 2, rel=0.1)
    whole, alone = found["forgetting score x RA x TA", "forgotten"], found["forgetting score", "forgotten"]
    assert whole["value"] == pytest.approx(factor * alone["value"]) and whole["high"] == pytest.approx(
        factor * alone["high"]
    )
    earlier = by_name(bank(20, 2, 1.0, stored=False))["forgetting score x RA x TA", "forgotten"]
    assert earlier["value"] is None and "earlier versions" in str(earlier["reason"])


def test_what_is_left_of_memorisation_is_accuracy_in_minus_out() -> None:
    given = bank(20, 2, 0.0)
    own, never = given.roles["forgotten"], given.roles["never"]
    right = np.where(own, True, np.random.default_rng(0).random(own.shape) < 0.4)
    line = left_over(right, given.pair, own, never)
    assert line["value"] == pytest.approx(1 - right[never].mean(), abs=1e-9)
    assert line["low"] < 0.6 < line["high"]


def test_groups_keep_each_pair_s_models_in_order() -> None:
    given = bank(12, 3, 0.0)
    kept = in_groups(given.phi, given.pair, given.roles["retained"])
    assert kept.shape == (6, 2, SAMPLES)
    rows = np.flatnonzero(given.roles["retained"][:, 5] & (given.pair == 2))
    assert kept[2, :, 5].tolist() == given.phi[rows, 5].tolist()
