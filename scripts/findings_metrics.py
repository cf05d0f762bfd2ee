"""Questions of docs/findings.md about metrics, 6 and 7: whether two of them put methods into the same order.

Every pair of methods is tested by every metric of the question: paired t over seeds. KLoM has one value for all seeds,
so its difference is held against its own standard errors. Holm's correction is over all pairs and metrics of a cell.
Two metrics *reverse* a pair that differs one way by the one and the other way by the other, both significantly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from findings_answers import AGREES, CONTRADICTS, UNDECIDED, Answer, Ask, Floats
from findings_cells import CELLS, METHODS, NOT_RUN, Cell, Findings
from scipy.stats import kendalltau, rankdata, t

from deepunlearn.analysis.inference import FEWEST_SEEDS, LEVEL, differences, holm, paired_t

METRICS = ("RetDev", "Indisc", "Disc_AUC", "KLoM_F", "gap", "ToW")
OVER_SEEDS = ("KLoM_F",)  # one value per method
ENOUGH = 30  # pairs alike: if a tenth of such pairs were reversed, none among so many would be seen by chance in 4 %
NAMED = 3  # pairs that are named, of those that are reversed
DRAWS = 200
Pairs = Sequence[tuple[str, str]]


class Between(NamedTuple):
    """Two metrics in a cell. alike: pairs of methods that both tell apart in the same way; reversed: the other way.

    tau: Kendall's, of the two orders; own: of each order with itself, as far as seeds let it.
    """

    alike: int
    reversed: list[str]
    tau: float
    own: tuple[float, float]

    def __str__(self) -> str:
        named = ", ".join(self.reversed[:NAMED]) + (", ..." if len(self.reversed) > NAMED else "")
        turned = f"{len(self.reversed)} reversed" + (f" ({named})" if named else "")
        one, other = self.own
        return f"{self.alike} pairs alike, {turned}, tau {self.tau:+.2f} (with themselves {one:+.2f} and {other:+.2f})"


Seen = Mapping[tuple[str, str], Between]  # by pair of metrics


def orders_agree(pairs: Pairs, *, claim_is_agreement: bool) -> Ask:
    """Questions 6 (they agree) and 7 (some do not)."""

    def answer(found: Findings) -> Answer:
        cells = {name: found.cell(run) for name, run in CELLS.items()}
        whole = {name: cell for name, cell in cells.items() if cell and not cell.lacking(METHODS[name])}
        seen = {name: between(cell, pairs) for name, cell in whole.items()}
        told = tuple(line for name, cell in cells.items() for line in _lines(name, pairs, cell, seen.get(name)))
        known = [one for of_cell in seen.values() for one in of_cell.values()]
        if not known:
            return Answer(NOT_RUN, told)
        if_alike, if_apart = (AGREES, CONTRADICTS) if claim_is_agreement else (CONTRADICTS, AGREES)
        if any(one.reversed for one in known):
            return Answer(if_apart, told)
        enough = len(known) == len(CELLS) * len(pairs) and all(one.alike >= ENOUGH for one in known)
        return Answer(if_alike if enough else UNDECIDED, told)

    return answer


def _lines(name: str, pairs: Pairs, cell: Cell | None, seen: Seen | None) -> list[str]:
    if seen is None:
        return [f"{name}: {cell.lacking(METHODS[name]) if cell else NOT_RUN}"]
    if not seen:
        return [f"{name}: no values, or fewer than {FEWEST_SEEDS} seeds"]
    return [f"{name}, {' and '.join(pair)}: {seen.get(pair, NOT_RUN)}" for pair in pairs]


def between(cell: Cell, pairs: Pairs) -> dict[tuple[str, str], Between]:
    """By pair of metrics, those that have values."""
    signs = told_apart(cell, list(dict.fromkeys(metric for pair in pairs for metric in pair)))
    own = {metric: own_tau(cell, metric) for metric in signs}
    return {(one, other): _between(cell, (one, other), signs, own) for one, other in pairs if {one, other} <= {*signs}}


def _between(
    cell: Cell, pair: tuple[str, str], signs: Mapping[str, pd.Series[float]], own: Mapping[str, float]
) -> Between:
    one, other = pair
    both = (signs[one] * signs[other]).dropna()
    turned = [f"{first} and {second}" for first, second in both.index[both < 0]]
    orders = pd.DataFrame({metric: cell.placed(metric).mean() for metric in pair}).dropna()
    return Between(int((both > 0).sum()), turned, _tau(orders.to_numpy(float).T), (own[one], own[other]))


def told_apart(cell: Cell, metrics: Sequence[str]) -> dict[str, pd.Series[float]]:
    """By metric, pair of methods -> -1 where the first is better, 1 where the second is, 0 where that is not told.

    Without metrics that have no values, or too few seeds; without methods that are not usable on every seed.
    """
    tests = {metric: _tests(cell, metric) for metric in metrics if cell.seeds >= FEWEST_SEEDS}
    known = {metric: table for metric, table in tests.items() if len(table)}
    if not known:
        return {}
    found = pd.concat(known)
    significant = holm(found["p"].to_numpy(float)) < LEVEL
    signs = pd.Series(np.sign(found["difference"].to_numpy(float)) * significant, found.index)
    return {metric: signs.loc[metric] for metric in known}


def _tests(cell: Cell, metric: str) -> pd.DataFrame:
    """Pair of methods -> difference of their means, lower is better, and p."""
    bad = cell.bad(metric)
    pairs = list(combinations(map(str, bad), 2))
    if metric in OVER_SEEDS and pairs:
        values, errors = bad.iloc[0], standard_errors(cell, metric)
        apart = np.array([values[one] - values[other] for one, other in pairs])
        width = np.array([np.hypot(errors[one], errors[other]) for one, other in pairs])
        tests = [*zip(apart, 2 * t.sf(np.abs(apart) / np.maximum(width, 1e-12), cell.seeds - 1), strict=True)]
    else:
        found = [differences(bad[one].to_numpy(float), bad[other].to_numpy(float)) for one, other in pairs]
        tests = [(one.mean(), paired_t(one)) for one in found]
    index = pd.MultiIndex.from_tuples(pairs, names=["one", "other"])
    return pd.DataFrame(tests, index, columns=["difference", "p"])


def standard_errors(cell: Cell, metric: str) -> pd.Series[float]:
    """Of a value for all seeds: its interval is Student's, and its lower end may have been cut at 0."""
    half = (cell.values(f"{metric}_high") - cell.values(metric)).iloc[0]
    return half / float(t.ppf(1 - LEVEL / 2, cell.seeds - 1))


def own_tau(cell: Cell, metric: str) -> float:
    """Tau of the order with itself, the mean over all ways to cut the seeds into halves.

    Of one value for all seeds: of pairs of draws from normal distributions as wide as its standard errors.
    """
    table = cell.placed(metric)
    if metric in OVER_SEEDS:
        errors = standard_errors(cell, metric).reindex(table.columns).fillna(0.0).to_numpy(float)
        drawn = np.random.default_rng(0).standard_normal((DRAWS, 2, len(errors)))
        return float(np.mean([_tau(pair) for pair in table.iloc[0].to_numpy(float) + errors * drawn]))
    values, seeds = table.to_numpy(float), range(len(table))
    halves = [list(one) for one in combinations(seeds, len(table) // 2) if len(table) % 2 or 0 in one]
    return float(np.mean([_tau(_of_halves(values, one)) for one in halves]))


def _of_halves(values: Floats, one: list[int]) -> Floats:
    """[2, methods] means of these seeds and of the others."""
    return np.array([values[one].mean(axis=0), np.delete(values, one, axis=0).mean(axis=0)])


def _tau(orders: Floats) -> float:
    """Of two orders [2, methods]; methods at infinity share the last place."""
    return float(kendalltau(*rankdata(orders, axis=1)).statistic)
