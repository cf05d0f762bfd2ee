from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score, roc_curve

from deepunlearn.ulira import attack as attack_module
from deepunlearn.ulira.attack import Attacked, agreement, attack, judge
from deepunlearn.ulira.scores import Scores, Variance, log_odds
from tests.ulira.plans import Plan, halved, planted, random_roles


def quick(phi: Any, plan: Plan, **options: Any) -> Attacked:
    return judge(log_odds(phi, *plan, **options), *plan)


def scored(odds: Any, plan: Plan) -> Scores:
    """Log odds as if every observation of either class had been scored."""
    return Scores(np.asarray(odds, np.float32), plan.positive | plan.negative, 0)


def pairs(odds: Any, plan: Plan) -> tuple[Any, Any]:
    """Labels and log odds of all observations, as scikit-learn takes them."""
    kept = plan.positive | plan.negative
    return plan.positive[kept], np.asarray(odds)[kept]


WIDE = halved(halvings=240, parts=2, samples=160, seed=1)


@pytest.mark.parametrize("separation", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_planted_separations_come_out(separation: float) -> None:
    """d' apart: accuracy Phi(d' / 2), AUC Phi(d' / sqrt 2), TPR Phi(d' + Phi^-1(FPR))."""
    found = quick(planted(WIDE, separation), WIDE)
    expected = norm.cdf(separation / 2)
    assert found.accuracy.value == pytest.approx(expected, abs=0.01)
    assert found.balanced.value == pytest.approx(expected, abs=0.01)
    assert found.auc.value == pytest.approx(norm.cdf(separation / math.sqrt(2)), abs=0.01)
    assert found.tpr_at_1_in_100.value == pytest.approx(norm.cdf(separation + norm.ppf(0.01)), abs=0.03)
    assert found.tpr_at_1_in_1000.value == pytest.approx(norm.cdf(separation + norm.ppf(0.001)), abs=0.05)
    assert len(found.samples) == 160
    assert found.left_out == found.fits_left_out == 0


def test_planted_spreads_come_out() -> None:
    """Equal means: only the variances tell. The likelihoods meet at x^2 = 8 / 3 log 2 for spreads of 2 and 1."""
    bound = math.sqrt(8 / 3 * math.log(2))
    expected = (2 * norm.cdf(-bound / 2) + 1 - 2 * norm.cdf(-bound)) / 2
    found = quick(planted(WIDE, 0, spread=2), WIDE)
    assert found.accuracy.value == pytest.approx(expected, abs=0.01)
    # FPR 2 Phi(-c) at |x| > c, TPR 2 Phi(-c / 2)
    assert found.tpr_at_1_in_100.value == pytest.approx(2 * norm.cdf(norm.ppf(0.005) / 2), abs=0.02)


@pytest.mark.parametrize("separation", [0.5, 1.0, 2.0])
def test_planted_separations_come_out_of_a_pooled_variance(separation: float) -> None:
    plan = halved(halvings=100, parts=2, samples=300, seed=2)
    generator = np.random.default_rng(3)
    phi = generator.normal(0, 5, 300) + generator.standard_normal(plan.positive.shape) + separation * plan.positive
    found = quick(phi, plan, variance="pooled")
    assert found.accuracy.value == pytest.approx(norm.cdf(separation / 2), abs=0.01)
    assert found.auc.value == pytest.approx(norm.cdf(separation / math.sqrt(2)), abs=0.01)


def test_models_that_never_saw_the_forgotten_are_at_chance() -> None:
    """As retrained models are, whatever the number of halvings: a pair leaves the fits of both classes alike."""
    for halvings, tolerance in ((64, 0.005), (16, 0.01), (12, 0.01)):
        plan = halved(halvings, parts=10, samples=1000, seed=4)
        found = quick(planted(plan, 0), plan)
        assert found.accuracy.value == pytest.approx(0.5, abs=tolerance)
        assert found.auc.value == pytest.approx(0.5, abs=tolerance)
        assert found.tpr_at_1_in_100.value == pytest.approx(0.01, abs=0.005)


def test_the_design_is_the_one_that_runs() -> None:
    """Of a pair of complements, every sample is forgotten in one model and never seen by those of the other half."""
    plan = halved(halvings=6, parts=5, samples=40, seed=0)
    assert plan.halving.tolist() == [pair for pair in range(3) for _ in range(10)]
    for pair in range(3):
        assert (plan.positive[plan.halving == pair].sum(axis=0) == 1).all()
        assert (plan.negative[plan.halving == pair].sum(axis=0) == 5).all()


@pytest.mark.parametrize("variance", ["sample", "pooled"])
def test_what_the_models_of_a_halving_share_does_not_leak(variance: Variance) -> None:
    """Each halving's models agree on a value of their own. A fit that saw them would know their class."""
    plan = halved(halvings=12, parts=1, samples=400, seed=5)
    plan = Plan(*(np.repeat(part, 6, axis=0) for part in plan))
    phi = np.repeat(np.random.default_rng(6).normal(0, 10, (12, 400)), 6, axis=0)
    assert quick(phi, plan, variance=variance).accuracy.value < 0.52


def test_an_attack_that_always_says_never_is_at_chance() -> None:
    plan = halved(halvings=10, parts=10, samples=40, seed=0)
    assert plan.negative.sum() == 10 * plan.positive.sum()
    found = judge(scored(np.full(plan.positive.shape, -1.0), plan), *plan)
    for one in (found.accuracy, found.balanced, found.auc):
        assert (one.value, one.low, one.high) == (0.5, 0.5, 0.5)
    assert found.accuracy_std == 0
    assert found.tpr_at_1_in_100.value == pytest.approx(0.01)


def test_undecided_counts_half() -> None:
    plan = Plan(np.array([0, 0, 1, 1]), np.array([[1], [0], [1], [0]]) > 0, np.array([[0], [1], [0], [1]]) > 0)
    found = judge(scored([[0.0], [-1.0], [0.0], [2.0]], plan), *plan)
    assert found.accuracies.tolist() == [0.5]
    again = judge(scored([[0.0], [-1.0], [1.0], [-2.0]], plan), *plan)
    assert again.accuracies.tolist() == [0.875]  # positives 0.75, negatives 1


def test_agrees_with_the_definitions_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_module, "_SAMPLES", 7)
    plan = random_roles(halvings=9, models=2, samples=40, seed=3)
    scores = log_odds(np.random.default_rng(4).normal(plan.positive, 1.0), *plan)
    found = judge(scores, *plan)
    rates: list[list[float]] = []
    for x in range(40):
        right: tuple[list[float], list[float]] = ([], [])
        for m in np.flatnonzero(scores.scored[:, x]):
            assert scores.log_odds[m, x] != 0
            right[int(plan.positive[m, x])].append(float((scores.log_odds[m, x] > 0) == plan.positive[m, x]))
        rates.append([sum(split_data) / len(split_data) for split_data in right] if all(right) else [])
    used = [x for x in range(40) if rates[x]]
    assert found.samples.tolist() == used
    assert 0 < len(used) < 40
    assert found.left_out == 40 - len(used)
    assert found.fits_left_out == scores.left_out > 0
    assert found.accuracies.tolist() == pytest.approx([sum(rates[x]) / 2 for x in used])
    assert found.accuracy.value == pytest.approx(found.accuracies.mean())
    assert found.accuracy_std == pytest.approx(found.accuracies.std())
    hits = (scores.log_odds > 0) == plan.positive
    sides = [hits[scores.scored & role].mean() for role in (plan.positive, plan.negative)]
    assert found.balanced.value == pytest.approx(sum(sides) / 2)


@pytest.mark.parametrize("scale", [0.01, 0.3, 3, 1e3, 1e5])
def test_the_binned_roc_is_the_exact_one(scale: float) -> None:
    """The area errs by at most half the share of pairs in one bin; away from 0, where bins are finest, by far less."""
    plan = halved(halvings=20, parts=2, samples=500, seed=6)
    noise = np.random.default_rng(7).normal(size=plan.positive.shape)
    odds = scale * np.where(plan.positive, 1 + 2 * noise, noise**3).astype(np.float32)
    labels, values = pairs(odds, plan)
    found = judge(scored(odds, plan), *plan)
    shares = [np.bincount(attack_module._bins(values[labels == split_data])) for split_data in (True, False)]
    shares = [np.pad(one, (0, 20000 - len(one))) / one.sum() for one in shares]
    exact = roc_auc_score(labels, values)
    assert abs(found.auc.value - exact) <= min(np.dot(*shares) / 2 + 1e-12, 5e-4)
    false, true, _ = roc_curve(labels, values)
    assert found.tpr_at_1_in_100.value == pytest.approx(np.interp(0.01, false, true), abs=3e-3)
    assert found.tpr_at_1_in_1000.value == pytest.approx(np.interp(0.001, false, true), abs=3e-3)


def test_log_odds_beyond_the_grid_are_kept_in_its_ends() -> None:
    plan = halved(halvings=6, parts=2, samples=20, seed=0)
    found = judge(scored(np.where(plan.positive, np.inf, -1e30), plan), *plan)
    assert found.auc.value == found.accuracy.value == found.tpr_at_1_in_1000.value == 1


def test_intervals_are_those_of_groups_whose_fits_share_models() -> None:
    """In half of the groups every decision is right, in the others wrong: a mean of G coins of variance 1 / 4."""
    for groups in (6, 40, 160):
        alternating = np.arange(groups * 2) % 2 == 0
        positive = np.repeat(alternating[:, None], 30, axis=1)
        plan = Plan(np.arange(groups * 2) // 2, positive, ~positive)
        sign = np.where(plan.halving % 2 == 0, 1, -1)[:, None]
        found = judge(scored(np.where(positive, 1, -1) * sign, plan), *plan)
        spread = math.sqrt(groups / (groups - 1) / 4 * (1 / groups + 1 / (groups - 1)))
        for one in (found.accuracy, found.balanced):
            assert one.value == pytest.approx(0.5)
            assert one.high - one.low == pytest.approx(min(1, 2 * student.ppf(0.975, groups - 1) * spread), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("halvings", [12, 16, 32, 64])
def test_intervals_cover_where_there_is_no_difference(halvings: int) -> None:
    """With fits and all, in the design that runs. A bootstrap of fixed fits covers 0.73 to 0.85."""
    covered = []
    for seed in range(400):
        plan = halved(halvings, parts=3, samples=30, seed=seed)
        found = attack(np.random.default_rng(seed).normal(size=plan.positive.shape), *plan)
        covered.append([one.low <= 0.5 <= one.high for one in (found.accuracy, found.balanced, found.auc)])
    assert ((np.mean(covered, axis=0) >= 0.92) & (np.mean(covered, axis=0) <= 0.97)).all(), np.mean(covered, axis=0)


def test_a_group_without_which_a_class_is_missing_is_not_left_out() -> None:
    """Positives in one of four groups only: the other three count."""
    plan = Plan(np.arange(4), np.array([[1], [0], [0], [0]]) > 0, np.array([[0], [1], [1], [1]]) > 0)
    found = judge(scored([[1.0], [-1.0], [1.0], [-2.0]], plan), *plan)
    assert found.balanced.value == pytest.approx((1 + 2 / 3) / 2)
    for one in (found.accuracy, found.balanced, found.auc, found.tpr_at_1_in_1000, found.tpr_at_1_in_100):
        assert 0 <= one.low <= one.value <= one.high <= 1


def test_attack_passes_its_options_on() -> None:
    plan = halved(halvings=16, parts=5, samples=50, seed=0)
    phi = planted(plan, 1)
    found = attack(phi, *plan, variance="pooled", groups_used=5)
    assert found.auc.value == quick(phi, plan, variance="pooled", groups_used=5).auc.value
    assert found.auc.value != quick(phi, plan, variance="pooled").auc.value
    assert found.auc.value != quick(phi, plan, groups_used=5).auc.value


def test_an_original_is_passed_once_or_for_each_forget_set() -> None:
    once = halved(halvings=60, parts=1, samples=60, seed=8)
    phi = planted(once, 1.5)
    often = Plan(*(np.repeat(part, 4, axis=0) for part in once))
    one, other = quick(phi, once), quick(np.repeat(phi, 4, axis=0), often)
    assert one.accuracy.value == pytest.approx(other.accuracy.value, abs=0.01)
    assert one.auc.value == pytest.approx(other.auc.value, abs=0.005)


def test_nothing_to_attack_is_our_mistake() -> None:
    plan = halved(halvings=4, parts=2, samples=10, seed=0)
    with pytest.raises(ValueError, match="none of the 10 samples has enough observations"):
        quick(planted(plan, 1), plan)
    scores = scored(np.ones(plan.positive.shape), plan)
    with pytest.raises(ValueError, match="no sample in common"):
        agreement(scores, replace(scores, scored=~scores.scored), *plan)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 999), st.floats(0, 1e6))
def test_every_number_is_a_share_and_the_roles_are_symmetric(seed: int, scale: float) -> None:
    plan = random_roles(halvings=5, models=3, samples=8, seed=seed)
    odds = scale * np.rint(np.random.default_rng(seed).normal(size=plan.positive.shape))
    found = judge(scored(odds, plan), *plan)
    for one in (found.accuracy, found.balanced, found.auc, found.tpr_at_1_in_1000, found.tpr_at_1_in_100):
        assert 0 <= one.low <= one.high <= 1
        assert 0 <= one.value <= 1
    assert ((found.accuracies >= 0) & (found.accuracies <= 1)).all()
    other = Plan(plan.halving, plan.negative, plan.positive)
    swapped = judge(scored(-odds, other), *other)
    assert swapped.accuracies == pytest.approx(found.accuracies)
    assert swapped.auc.value == pytest.approx(found.auc.value)


def test_agreement_with_itself_and_with_its_opposite() -> None:
    plan = halved(halvings=16, parts=5, samples=50, seed=0)
    scores = log_odds(planted(plan, 1), *plan)
    same = agreement(scores, scores, *plan)
    assert (same.equal_decisions, same.accuracy_difference, same.auc_difference) == (1, 0, 0)
    assert same.correlation == pytest.approx(1)
    opposite = agreement(scores, replace(scores, log_odds=-scores.log_odds), *plan)
    found = judge(scores, *plan)
    assert opposite.equal_decisions == 0
    assert opposite.correlation == pytest.approx(-1, abs=1e-3)  # 1 - 2 / 3 is not 1 / 3, which undoes some ties
    assert opposite.accuracy_difference == pytest.approx(1 - 2 * found.accuracy.value)
    assert opposite.auc_difference == pytest.approx(1 - 2 * found.auc.value)


def test_agreement_by_hand() -> None:
    """Classes of 1 and 3 observations weigh the same; what only one of the two scored does not count."""
    positive = np.array([[1, 0], [0, 1], [0, 0], [0, 0]]) > 0
    plan = Plan(np.arange(4), positive, ~positive)
    full = Scores(np.array([[1, -1], [-1, 1], [-1, -1], [-1, -1]], np.float32), np.ones((4, 2), bool), 0)
    decisions = np.array([[-1, -1], [-1, 9], [1, 1], [-1, -1]], np.float32)
    cheap = Scores(decisions, np.array([[1, 1], [1, 1], [1, 1], [0, 1]]) > 0, 0)
    found = agreement(full, cheap, *plan)
    assert found.samples == 2
    assert found.equal_decisions == pytest.approx((1 / 2 + 3 / 5) / 2)
    assert found.correlation is None  # the full attack is always right
    assert found.accuracy_difference == pytest.approx(((0 + 1 / 2) / 2 + (1 + 2 / 3) / 2) / 2 - 1)
    assert found.auc_difference == pytest.approx(roc_auc_score([1, 0, 0, 0, 1, 0, 0], [-1, -1, 1, -1, 9, 1, -1]) - 1)


def test_agreement_grows_with_the_halvings_used() -> None:
    plan = halved(halvings=48, parts=2, samples=200, seed=9)
    phi = planted(plan, 1)
    full = log_odds(phi, *plan)
    found = [agreement(full, log_odds(phi, *plan, variance="pooled", groups_used=used), *plan) for used in (3, 8, 23)]
    assert [one.equal_decisions for one in found] == sorted(one.equal_decisions for one in found)
    correlations = [one.correlation or 0 for one in found]
    assert correlations == sorted(correlations)
    assert correlations[-1] > 0.6
    assert {one.samples for one in found} == {200}, "every pair has an observation of each class"
    ends = [quick(phi, plan, variance=kind) for kind in ("sample", "pooled")]
    assert found[-1].correlation == pytest.approx(spearmanr(*(one.accuracies for one in ends)).statistic)
