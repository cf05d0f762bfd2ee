"""U-LiRA (protocol section 8): how well a sample that was unlearned is told from one that was never seen, per sample.

Hayes et al. 2024, arXiv 2403.01218, with the attack of Carlini et al. 2022 ("Membership inference attacks from first
principles"); the scores are made in `scores`. The two classes are roles: (forgotten, never) attacks unlearning,
(retain, never) the privacy of those who stayed, (trained on, never) with the original's phi is the plain attack. Where
several models share one phi (an original and its forget sets), pass it once, with one row per halving.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from scipy.stats import t as student

from deepunlearn.metrics.accuracy import Floats, Integers
from deepunlearn.ulira.scores import Bools, Scores, Variance, Wide, log_odds

VERSION = 2  # bump when the attack would come out differently; before 2 intervals came from a bootstrap
SMALL_RATES = (0.001, 0.01)  # false positive rates at which the true positive rate is reported
_FURTHEST = 1e6  # log odds beyond it are counted at it
_HALF_BINS = 2**13
_STEP = np.arcsinh(_FURTHEST) / _HALF_BINS  # 0.0018: the grid's step in log odds near 0, relative to them far from 0
_SAMPLES, _ROWS = 2048, 16  # per block: arrays [left out, samples] and [rows, bins] of some MB


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval, over groups and fits."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Attacked:
    """The outcome of the attack; all values in [0, 1]."""

    accuracy: Estimate  # mean over samples of `accuracies`
    accuracy_std: float  # their standard deviation over samples (ddof 0: it describes these samples)
    balanced: Estimate  # mean of the two classes' rates of right decisions, pooled over all (sample, model) pairs
    auc: Estimate  # area under the ROC curve of the pooled log odds
    tpr_at_1_in_1000: Estimate  # true positive rate at a false positive rate of 0.1 %, pooled
    tpr_at_1_in_100: Estimate  # at 1 %
    accuracies: Wide  # [u] inference accuracy of each sample used
    samples: npt.NDArray[np.intp]  # [u] which samples these are
    left_out: int  # samples without a scored observation of each class; samples used and left out add up to n
    fits_left_out: int  # pairs (sample, group) with too few observations in other groups


@dataclass(frozen=True)
class Agreement:
    """A cheaper attack against the full one, on the observations that both score."""

    samples: int  # that have a common observation of each class
    equal_decisions: float  # share, the mean of the two classes'
    correlation: float | None  # Spearman's, of the samples' accuracies; None where one of the two is constant
    accuracy_difference: float  # mean over samples, cheaper - full
    auc_difference: float  # pooled, cheaper - full


def attack(
    phi: Floats,
    group: Integers,
    positive: Bools,
    negative: Bools,
    *,
    variance: Variance = "sample",
    groups_used: int | None = None,
) -> Attacked:
    """`log_odds`, judged. phi [M, n], group [M], positive and negative [M, n].

    Raises ValueError for phi that is not finite and where no sample has enough observations.
    """
    scores = log_odds(phi, group, positive, negative, variance=variance, groups_used=groups_used)
    return judge(scores, group, positive, negative)


def judge(scores: Scores, group: Integers, positive: Bools, negative: Bools) -> Attacked:
    """Accuracy at posterior 0.5 (exactly 0.5 counts half) and the pooled ROC of scores [M, n], with intervals.

    A sample's accuracy is the mean of its two classes' rates of right decisions: weighted by their sizes, an attack
    that always says "never" would score 0.91. Accuracies are exact. The ROC is that of log odds binned on a fixed grid,
    which errs in the area by at most half the share of (positive, negative) pairs that fall into one bin; ties and
    points between two thresholds are decided by a fair coin (straight lines).

    Intervals: `_half_widths`. Chance is 0.5 where groups are pairs of complements, as the experiment's are: a pair
    takes an observation of each class from every sample's fits. With independent halvings it is a little less, since
    only the observation's own class loses one. The retrained models, attacked the same way, show where it is.
    Raises ValueError where no sample has a scored observation of each class.
    """
    counted = _counts(scores, group, positive, negative)
    whole = np.ones((1, counted.hits.shape[1]))
    (accuracies,), (seen,) = _accuracies(counted, whole)
    if not seen.any():
        raise ValueError(f"none of the {seen.size} samples has enough observations in other groups to be attacked")
    values, halves = _summaries(counted, whole)[0], _half_widths(counted)
    ends = np.clip([values - halves, values + halves], 0, 1).tolist()
    accuracy, balanced, auc, *rates = (Estimate(*triple) for triple in zip(values.tolist(), *ends, strict=True))
    used = accuracies[seen]
    return Attacked(
        accuracy=accuracy,
        accuracy_std=float(used.std()),
        balanced=balanced,
        auc=auc,
        tpr_at_1_in_1000=rates[0],
        tpr_at_1_in_100=rates[1],
        accuracies=used,
        samples=np.flatnonzero(seen),
        left_out=int(np.count_nonzero(~seen)),
        fits_left_out=scores.left_out,
    )


def agreement(full: Scores, cheap: Scores, group: Integers, positive: Bools, negative: Bools) -> Agreement:
    """How near a cheaper attack (`log_odds` with a pooled variance or fewer groups) comes to the full one.

    Both [M, n] from the same models. Raises ValueError where they have no sample in common.
    """
    common = full.scored & cheap.scored
    ends = [_counts(Scores(one.log_odds, common, 0), group, positive, negative) for one in (full, cheap)]
    whole = np.ones((1, ends[0].hits.shape[1]))
    seen = _accuracies(ends[0], whole)[1][0]
    if not seen.any():
        raise ValueError("the two attacks have no sample in common that both could score")
    equal = np.sign(full.log_odds) == np.sign(cheap.log_odds)
    pair = [_accuracies(one, whole)[0][0, seen] for one in ends]
    varied = all(np.ptp(one) > 0 for one in pair)
    accuracy, _, auc, *_ = (_summaries(ends[1], whole) - _summaries(ends[0], whole))[0].tolist()
    return Agreement(
        samples=int(np.count_nonzero(seen)),
        equal_decisions=float(np.mean([equal[common & role].mean() for role in (positive, negative)])),
        correlation=float(spearmanr(*pair).statistic) if varied else None,
        accuracy_difference=accuracy,
        auc_difference=auc,
    )


@dataclass(frozen=True)
class _Counts:
    """What each group contributes, so that all but one are a weighted sum; positives first."""

    hits: npt.NDArray[np.float32]  # [2, H, n] right decisions, in halves
    counts: npt.NDArray[np.float32]  # [2, H, n] decisions
    histograms: Wide  # [2, H, bins] of log odds, ascending; bins that nobody falls into are dropped


def _counts(scores: Scores, group: Integers, positive: Bools, negative: Bools) -> _Counts:
    names = np.unique(group)
    shape = (2, len(names), scores.scored.shape[1])
    hits, counts = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    histograms = np.zeros((2, len(names), 2 * _HALF_BINS + 1))
    for number, name in enumerate(names):
        rows = np.flatnonzero(group == name)
        odds = scores.log_odds[rows]
        bins = _bins(odds)
        for side, (role, sign) in enumerate(((positive, 1), (negative, -1))):
            mask = scores.scored[rows] & role[rows]
            counts[side, number] = mask.sum(axis=0)
            hits[side, number] = np.sum((1 + sign * np.sign(odds)) / 2, axis=0, where=mask)
            histograms[side, number] = np.bincount(bins[mask], minlength=histograms.shape[2])
    return _Counts(hits, counts, histograms[:, :, histograms.any(axis=(0, 1))])


def _bins(odds: Floats) -> npt.NDArray[np.intp]:
    """Uniform in arcsinh: linear where decisions are made, logarithmic where small false positive rates are decided."""
    bins: npt.NDArray[np.intp] = np.rint(np.arcsinh(odds.clip(-_FURTHEST, _FURTHEST)) / _STEP).astype(np.intp)
    return bins + _HALF_BINS


def _accuracies(counted: _Counts, weights: Floats, here: slice = slice(None)) -> tuple[Wide, Bools]:
    """[R, b] accuracy of the samples `here` and whether they have both classes, per row of weights of groups [R, H].

    The weights are whole numbers.
    """
    made, right = weights @ counted.counts[:, :, here], weights @ counted.hits[:, :, here]
    accuracies: Wide = np.mean(right / np.maximum(made, 1), axis=0, dtype=np.float64)
    seen: Bools = np.all(made > 0, axis=0)
    return accuracies, seen


def _half_widths(counted: _Counts) -> Wide:
    """[5] half of the 95 % interval of each summary; infinite where fewer than two groups can be left out.

    The variance over groups is the jackknife's, each group left out once. It holds the fits fixed, but groups share
    the models that they are fitted to, as the folds of a cross-validation do: so 1 / G becomes 1 / G + 1 / (G - 1), G
    groups of which G - 1 are fitted to (Nadeau and Bengio 2003, "Inference for the generalization error", the corrected
    resampled t-test). The quantile is Student's. A group without which a class is missing is not left out.
    """
    values = _summaries(counted, 1 - np.eye(counted.hits.shape[1], dtype=np.float32))
    groups = np.count_nonzero(np.isfinite(values), axis=0)
    freedom = np.maximum(groups - 1, 1)
    deviations = np.where(np.isfinite(values), values - np.nansum(values, axis=0) / np.maximum(groups, 1), 0)
    fixed = freedom / np.maximum(groups, 1) * np.sum(deviations**2, axis=0)
    halves: Wide = student.ppf(0.975, freedom) * np.sqrt(fixed * (1 + groups / freedom))
    return np.where(groups > 1, halves, np.inf)


def _summaries(counted: _Counts, weights: Floats) -> Wide:
    """[R, 5] accuracy, balanced accuracy, AUC, TPR at `SMALL_RATES`, per row of weights [R, H]; NaN if undefined."""
    rows = np.split(weights.astype(np.float64), range(_ROWS, len(weights), _ROWS))
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN
        curves = np.concatenate([_curves(some @ counted.histograms) for some in rows])
        return np.column_stack([_mean_accuracy(counted, weights), _balanced(counted, weights), curves])


def _mean_accuracy(counted: _Counts, weights: Floats) -> Wide:
    total, used = np.zeros(len(weights)), np.zeros(len(weights))
    for start in range(0, counted.hits.shape[2], _SAMPLES):
        accuracies, seen = _accuracies(counted, weights, slice(start, start + _SAMPLES))
        total += np.sum(accuracies, axis=1, where=seen)
        used += seen.sum(axis=1)
    result: Wide = total / used
    return result


def _balanced(counted: _Counts, weights: Floats) -> Wide:
    hits, counts = (one.sum(axis=2, dtype=np.float64) @ weights.T for one in (counted.hits, counted.counts))  # [2, R]
    result: Wide = (hits / counts).mean(axis=0)
    return result


def _curves(histograms: Wide) -> Wide:
    """[R, 3] AUC and TPR at `SMALL_RATES` of histograms [2, R, bins], ascending in log odds."""
    above = np.cumsum(histograms[:, :, ::-1], axis=2)
    true, false = np.pad(above / above[:, :, -1:], ((0, 0), (0, 0), (1, 0)))
    area = np.trapezoid(true, false, axis=1)
    return np.column_stack([area, [np.interp(SMALL_RATES, x, y) for x, y in zip(false, true, strict=True)]])
