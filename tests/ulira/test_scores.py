from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import mean, variance
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepunlearn.metrics.accuracy import losses
from deepunlearn.ulira import scores as ulira_scores
from deepunlearn.ulira.scores import FEWEST, VARIANCE_FLOOR, Scores, log_odds, scaled_confidence
from tests.ulira.plans import Plan, random_roles

Slow = dict[tuple[int, int], float]


def slow_fit_to(plan: Plan, used: int | None) -> dict[int, list[int]]:
    """Attacked halving -> the halvings its fit sees."""
    names = sorted({int(name) for name in plan.halving})
    return {name: [other for other in names if other != name][:used] for name in names}


def slow_values(phi: Any, plan: Plan, role: Any, x: int, seen: Iterable[int]) -> tuple[list[float], int]:
    """phi of sample x under the models of the halvings `seen` that have the role, and how many halvings these are."""
    rows = [m for m in range(len(phi)) if int(plan.halving[m]) in seen and role[m, x]]
    return [float(phi[m, x]) for m in rows], len({int(plan.halving[m]) for m in rows})


def slow_pooled(phi: Any, plan: Plan, role: Any, seen: list[int]) -> float:
    """Squared deviations from each sample's own mean, over all samples with two halvings or more."""
    found = [slow_values(phi, plan, role, x, seen) for x in range(phi.shape[1])]
    kept = [values for values, halvings in found if halvings >= 2]
    freedom = sum(len(values) - 1 for values in kept)
    return math.fsum((v - mean(values)) ** 2 for values in kept for v in values) / max(freedom, 1)


def slow_log_odds(phi: Any, plan: Plan, kind: str, used: int | None) -> tuple[Slow, int]:
    """Observation (model, sample) -> log odds, and the number of pairs (sample, halving) left out, all one by one."""
    roles, result, left_out = (plan.positive, plan.negative), {}, 0
    for name, seen in slow_fit_to(plan, used).items():
        shared = [slow_pooled(phi, plan, role, seen) for role in roles]
        for x in range(phi.shape[1]):
            rows = [m for m in range(len(phi)) if plan.halving[m] == name and (roles[0][m, x] or roles[1][m, x])]
            found = [slow_values(phi, plan, role, x, seen) for role in roles]
            if min(halvings for _, halvings in found) < {"sample": 4, "pooled": 2}[kind]:
                left_out += bool(rows)
                continue
            spread = shared if kind == "pooled" else [variance(values) for values, _ in found]
            for m in rows:
                terms = []
                for (values, _), v in zip(found, spread, strict=True):
                    floored = max(v, 1e-4)
                    terms.append(-((float(phi[m, x]) - mean(values)) ** 2) / (2 * floored) - math.log(floored) / 2)
                result[m, x] = terms[0] - terms[1]
    return result, left_out


@pytest.mark.parametrize("used", [None, 8])
@pytest.mark.parametrize("kind", ["sample", "pooled"])
def test_agrees_with_the_definition_written_out(
    kind: ulira_scores.Variance, used: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples from never to often positive, so that some have too few; names of halvings neither sorted nor dense."""
    monkeypatch.setattr(ulira_scores, "_ELEMENTS", 200)  # several blocks of samples
    plan = random_roles(halvings=12, models=2, samples=40, seed=3)
    generator = np.random.default_rng(4)
    phi = generator.normal(generator.normal(50, 20, 40), generator.choice([0.001, 0.5, 3], 40), plan.positive.shape)
    found = log_odds(phi.astype(np.float32), *plan, variance=kind, groups_used=used)
    expected, left_out = slow_log_odds(phi.astype(np.float32), plan, kind, used)
    assert set(zip(*map(np.ndarray.tolist, np.nonzero(found.scored)), strict=True)) == set(expected)
    assert found.left_out == left_out > 0
    assert len(expected) > 100
    for index, value in expected.items():
        assert found.log_odds[index] == pytest.approx(value, rel=1e-4, abs=1e-5)
    assert (found.log_odds[~found.scored] == 0).all()


@pytest.mark.parametrize("kind", ["sample", "pooled"])
def test_the_fit_does_not_see_the_attacked_halving(kind: ulira_scores.Variance) -> None:
    """All models of a halving but one are moved far away: the score of that one stays, those of others do not."""
    plan = random_roles(halvings=12, models=3, samples=30, seed=1)
    phi = np.random.default_rng(2).normal(size=plan.positive.shape)
    before = log_odds(phi, *plan, variance=kind)
    for name in np.unique(plan.halving):
        kept, *others = np.flatnonzero(plan.halving == name)
        moved = phi.copy()
        moved[others] += np.random.default_rng(3).normal(0, 50, moved[others].shape)
        after = log_odds(moved, *plan, variance=kind)
        assert before.scored[kept].any()
        np.testing.assert_allclose(after.log_odds[kept], before.log_odds[kept], rtol=1e-5, atol=1e-7)
        assert not np.allclose(after.log_odds[plan.halving != name], before.log_odds[plan.halving != name])


def test_the_first_of_the_other_halvings_are_used() -> None:
    """Halvings beyond the seventh by name can move as they like: the fits to six others for the first seven stay."""
    plan = random_roles(halvings=15, models=2, samples=30, seed=5)
    phi = np.random.default_rng(6).normal(size=plan.positive.shape)
    before, late = log_odds(phi, *plan, variance="pooled", groups_used=6), plan.halving > np.unique(plan.halving)[6]
    phi[late] *= 100
    after = log_odds(phi, *plan, variance="pooled", groups_used=6)
    assert before.scored[~late].any()
    np.testing.assert_allclose(after.log_odds[~late], before.log_odds[~late], rtol=1e-5)
    assert not np.allclose(after.log_odds[late], before.log_odds[late])


def test_observations_without_a_role_play_no_part() -> None:
    plan = random_roles(halvings=12, models=3, samples=30, seed=7)
    phi = np.random.default_rng(8).normal(size=plan.positive.shape)
    before = log_odds(phi, *plan)
    without = ~(plan.positive | plan.negative)
    assert without.any()
    assert not before.scored[without].any()
    phi[without] += 1000
    np.testing.assert_allclose(log_odds(phi, *plan).log_odds, before.log_odds, rtol=1e-5, atol=1e-7)


def one_sample(*positives: int, halvings: int = 10) -> Plan:
    """One sample: so many positive models in each halving, one negative model in a halving that has none."""
    positives += (0,) * (halvings - len(positives))
    names = np.repeat(np.arange(halvings), [max(1, count) for count in positives])
    positive = np.array([positives[name] > 0 for name in names])[:, None]
    return Plan(names, positive, ~positive)


@pytest.mark.parametrize(
    ("plan", "scored", "left_out"),
    [
        (one_sample(1, 1, 1, 1, 1), 10, 0),
        (one_sample(1, 1, 1, 1), 6, 4),  # to attack a positive there are three others
        (one_sample(1, 1, 1), 0, 10),
        (one_sample(4, 4, 4), 0, 10),  # models of one halving are not independent
        (one_sample(), 0, 10),
    ],
)
def test_samples_with_too_few_other_halvings_are_left_out_and_counted(plan: Plan, scored: int, left_out: int) -> None:
    found = log_odds(np.random.default_rng(0).normal(size=plan.positive.shape), *plan)
    assert np.count_nonzero(found.scored) == scored
    assert found.left_out == left_out
    assert np.isfinite(found.log_odds).all()
    assert not found.log_odds[~found.scored].any()


def test_a_shared_variance_needs_fewer() -> None:
    found = log_odds(np.random.default_rng(0).normal(size=(10, 1)), *one_sample(1, 1, 1), variance="pooled")
    assert found.scored.all()
    assert FEWEST["pooled"] < FEWEST["sample"]


def test_variances_are_floored() -> None:
    """Constant phi of either class: a hundredth apart, they are a standard deviation of the floor apart."""
    plan = one_sample(1, 1, 1, 1, 1)
    phi = np.where(plan.positive, 5 + math.sqrt(VARIANCE_FLOOR), 5.0)
    assert log_odds(phi, *plan).log_odds == pytest.approx(np.where(plan.positive, 0.5, -0.5))


@pytest.mark.parametrize("kind", ["sample", "pooled"])
def test_equal_values_are_exactly_undecided(kind: ulira_scores.Variance) -> None:
    plan = random_roles(halvings=12, models=3, samples=30, seed=1)
    constants = np.random.default_rng(2).normal(size=30)
    found = log_odds(np.tile(constants, (len(plan.halving), 1)), *plan, variance=kind)
    assert found.scored.any()
    assert not found.log_odds.any()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99), st.floats(-1e8, 1e8), st.floats(0.5, 100))
def test_shift_and_scale_of_a_sample_do_not_matter(seed: int, shift: float, scale: float) -> None:
    plan = random_roles(halvings=12, models=2, samples=10, seed=seed)
    generator = np.random.default_rng(seed)
    phi = generator.normal(size=plan.positive.shape)
    per_sample = np.where(np.arange(10) % 2, scale, 1.0), np.where(np.arange(10) % 3, shift, 0.0)
    before, after = log_odds(phi, *plan), log_odds(phi * per_sample[0] + per_sample[1], *plan)
    np.testing.assert_allclose(after.log_odds, before.log_odds, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 99), st.sampled_from(["sample", "pooled"]))
def test_the_roles_are_symmetric(seed: int, kind: ulira_scores.Variance) -> None:
    plan = random_roles(halvings=12, models=2, samples=10, seed=seed)
    phi = np.random.default_rng(seed).normal(size=plan.positive.shape)
    one = log_odds(phi, *plan, variance=kind)
    other = log_odds(phi, plan.halving, plan.negative, plan.positive, variance=kind)
    assert (one.scored == other.scored).all()
    np.testing.assert_allclose(one.log_odds, -other.log_odds, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_confidences_are_refused(bad: float) -> None:
    plan = random_roles(halvings=12, models=2, samples=10, seed=0)
    phi = np.zeros(plan.positive.shape, np.float32)
    phi[3, 2] = bad
    with pytest.raises(ValueError, match="phi must be finite, 1 of 24 rows"):
        log_odds(phi, *plan)


@pytest.mark.parametrize(("halvings", "used"), [(1, None), (5, 5), (5, 0)])
def test_there_must_be_other_groups(halvings: int, used: int | None) -> None:
    plan = random_roles(halvings=halvings, models=2, samples=4, seed=0)
    with pytest.raises(ValueError, match=rf"other groups needs at least \d groups, got {halvings}"):
        log_odds(np.zeros(plan.positive.shape), *plan, groups_used=used)


def test_an_observation_is_of_one_class() -> None:
    plan = random_roles(halvings=5, models=2, samples=4, seed=0)
    with pytest.raises(AssertionError, match="both classes"):
        log_odds(np.zeros(plan.positive.shape), plan.halving, plan.positive, plan.positive)


@given(st.lists(st.lists(st.floats(-15, 15), min_size=4, max_size=4), min_size=1, max_size=10), st.integers(0, 3))
def test_scaled_confidence_is_the_logit_of_p(rows: list[list[float]], label: int) -> None:
    found = scaled_confidence(np.array(rows), np.full(len(rows), label))
    for value, row in zip(found, rows, strict=True):
        others = math.fsum(math.exp(z) for k, z in enumerate(row) if k != label)
        assert value == pytest.approx(math.log(math.exp(row[label]) / others), abs=1e-9)


def test_scaled_confidence_at_the_extremes() -> None:
    logits = np.array([[1e4, -1e4, -1e4], [-1e4, 1e4, 0], [3e38, -3e38, -3e38], [0, 0, 0]], dtype=np.float32)
    given_labels: npt.NDArray[np.int64] = np.array([0, 0, 0, 2])
    found = scaled_confidence(logits, given_labels)
    assert found.tolist() == pytest.approx([2e4 - math.log(2), -2e4, 6e38, -math.log(2)], rel=1e-6)
    assert scaled_confidence(logits[:1] / 100, given_labels[:1]) == pytest.approx(200 - math.log(2), rel=1e-6)


def test_scaled_confidence_and_loss_say_the_same() -> None:
    logits, labels = np.random.default_rng(0).normal(0, 3, (50, 5)), np.arange(50) % 5
    np.testing.assert_allclose(scaled_confidence(logits, labels), -np.log(np.expm1(losses(logits, labels))), rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_broken_logits_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="logits must be finite, 1 of 2 rows"):
        scaled_confidence(np.array([[0.0, 1.0], [bad, 0.0]]), np.array([1, 1]))


def test_inputs_are_left_as_they_are() -> None:
    logits = np.ones((2, 3))
    scaled_confidence(logits, np.array([0, 1]))
    assert (logits == 1).all()
    plan = random_roles(halvings=9, models=2, samples=5, seed=0)
    phi = np.random.default_rng(0).normal(size=plan.positive.shape)
    kept = phi.copy()
    assert isinstance(log_odds(phi, *plan), Scores)
    assert (phi == kept).all()
