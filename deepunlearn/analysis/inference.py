"""Tests on paired scores (seeds x methods, or cells x methods) and what they can tell: docs/statistics.md.

Differences that floating point alone makes count as none.
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import f, rankdata, studentized_range, t, wilcoxon

LEVEL = 0.05
FEWEST_SEEDS = 5  # for intervals of places and t-tests; with fewer, intervals missed the true place too often
ROUNDING = 1e-9  # of the largest value: less is no difference

Floats = npt.NDArray[np.float64]


def holm(p: Floats) -> Floats:
    """Holm's step-down correction of p-values [n]."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected: Floats = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def differences(one: Floats, other: Floats) -> Floats:
    """one - other, exactly 0 where they differ by rounding alone."""
    found = one - other
    return np.where(np.abs(found) <= ROUNDING * np.maximum(np.abs(one), np.abs(other)), 0.0, found)


def mean_interval(values: Floats) -> tuple[float, float] | None:
    """95 % interval (Student's t) of the mean of values [seeds]; None below `FEWEST_SEEDS`."""
    if len(values) < FEWEST_SEEDS:
        return None
    half = float(t.ppf(1 - LEVEL / 2, len(values) - 1)) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


class Verdict(NamedTuple):
    """p: after the correction, NaN where nothing can be tested."""

    p: float
    verdict: str


def neighbours(table: Floats) -> list[Verdict]:
    """Each column of table [seeds, methods] against the next: Wilcoxon's signed-rank test, Holm's correction.

    Of n differences that are not 0 the least p is 2 / 2^n: where that, times the number of tests, is not below the
    level, no result could be significant ("not testable").
    """
    pairs = [differences(table[:, one], table[:, other]) for one, other in pairwise(range(table.shape[1]))]
    counts = [int(np.count_nonzero(values)) for values in pairs]
    raw = [float(wilcoxon(values).pvalue) if count else 1.0 for values, count in zip(pairs, counts, strict=True)]
    least = [len(pairs) * 2 / 2**count for count in counts]
    return [_verdict(*one) for one in zip(holm(np.array(raw)), counts, least, strict=True)]


def _verdict(p: float, count: int, least: float) -> Verdict:
    if count == 0:
        return Verdict(1.0, "equal")
    if least >= LEVEL:
        return Verdict(float("nan"), "not testable")
    return Verdict(float(p), "differ" if p < LEVEL else "not distinguished")


def against_best(table: Floats, best: int) -> list[Verdict]:
    """Each column of table [seeds, methods] against column `best`, which was found to be best in the same table.

    Paired t-tests, two-sided. The best being chosen by the data, the correction (Holm) is over all pairs of methods:
    over the tests against the best alone it called equal methods worse in 16 % of simulated cells.
    """
    seeds, methods = table.shape
    if seeds < FEWEST_SEEDS:
        return [Verdict(float("nan"), "best" if one == best else "not testable") for one in range(methods)]
    pairs = list(combinations(range(methods), 2))
    found = [differences(table[:, one], table[:, other]) for one, other in pairs]
    corrected = dict(zip(pairs, holm(np.array([paired_t(values) for values in found])), strict=True))
    equal = dict(zip(pairs, (not values.any() for values in found), strict=True))
    return [_beside_best(one, best, corrected, equal) for one in range(methods)]


def _beside_best(
    one: int, best: int, corrected: dict[tuple[int, int], float], equal: dict[tuple[int, int], bool]
) -> Verdict:
    if one == best:
        return Verdict(float("nan"), "best")
    pair = min(one, best), max(one, best)
    if equal[pair]:
        return Verdict(1.0, "equal")
    p = float(corrected[pair])
    return Verdict(p, "differs" if p < LEVEL else "not distinguished")


def paired_t(values: Floats) -> float:
    """Two-sided p of differences [seeds]; 1 where all are 0, 0 where all are the same and not 0."""
    mean, error = values.mean(), values.std(ddof=1) / len(values) ** 0.5
    if error <= ROUNDING * abs(mean):
        return 0.0 if mean else 1.0
    return float(2 * t.sf(abs(mean) / error, len(values) - 1))


def spread_p(table: Floats) -> float:
    """p of "all methods have the same mean": the F-test of repeated measures on table [seeds, methods].

    The spread of the methods' means is held against their standard error, what seeds do to all methods alike taken
    out. NaN for one seed or one method, where there is nothing to hold it against.
    """
    seeds, methods = table.shape
    if seeds < 2 or methods < 2:
        return float("nan")
    means, rest = table.mean(0), table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    degrees = (methods - 1) * (seeds - 1)
    between, within = seeds * means.var(ddof=1), float((rest**2).sum()) / degrees
    scale = (ROUNDING * float(np.abs(table).max())) ** 2
    if within <= scale:
        return 1.0 if between <= scale else 0.0
    return float(f.sf(between / within, methods - 1, degrees))


class CriticalDifference(NamedTuple):
    """Demsar (2006). places: mean place of each method over cells; p: Friedman's test in Iman and Davenport's form.

    difference: mean places further apart than this differ (Nemenyi's test at the 5 % level). decides: whether any two
    of this many methods over this many cells can be that far apart, and p is below the level.
    """

    places: pd.Series[float]
    p: float
    difference: float
    decides: bool


def critical_difference(values: pd.DataFrame) -> CriticalDifference | None:
    """values: methods x cells, lower is better; what is missing is worst. None for fewer than 2 methods or cells."""
    methods, cells = values.shape
    if methods < 2 or cells < 2:
        return None
    filled = values.to_numpy(float, na_value=np.inf)
    places = np.apply_along_axis(rankdata, 0, filled)
    mean = pd.Series(places.mean(axis=1), index=values.index)
    difference = (
        float(studentized_range.ppf(1 - LEVEL, methods, np.inf)) * (methods * (methods + 1) / (12 * cells)) ** 0.5
    )
    p = spread_p(places.T)
    return CriticalDifference(mean, p, difference, difference < methods - 1 and p < LEVEL)
