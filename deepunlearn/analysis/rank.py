"""Ranking methods by groups (the paper, section 4.4; protocol section 7), and how sure a ranking is.

Per cell the methods' means over seeds are clustered into at most three groups, G1 the best; over cells the groups are
counted, and the counts compared from G1 downwards. F: the method failed in that cell. docs/statistics.md says how far
intervals and tests can be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from deepunlearn.analysis import inference
from deepunlearn.analysis.inference import FEWEST_SEEDS, ROUNDING, Floats
from deepunlearn.metrics.catalogue import BUILT_IN

GROUPS = ("G1", "G2", "G3")
FAILED = "F"
COUNTED = (*GROUPS, FAILED)
NOT_APPLICABLE, UNDEFINED = "n/a", "undefined"  # states of a method in a cell that count for nothing
LOWER_IS_BETTER: Mapping[str, bool] = {name: BUILT_IN[name].better == "lower" for name in ("RetDev", "Indisc")}
INSTEAD = {"RetDev": "gap"}  # what ranks where the former is not defined in any cell
RESAMPLES = 1000


def group(values: Floats, lower_is_better: bool) -> npt.NDArray[np.int64]:
    """The group of each of `values` [n], 0 the best: Ward clusters in order of their means.

    With fewer than three distinct values each is a group of its own; values that differ by rounding alone are one.
    Values must be finite.
    """
    found = groups_of(np.asarray(values, float)[None], lower_is_better)
    return found.ravel()


def groups_of(values: Floats, lower_is_better: bool) -> npt.NDArray[np.int64]:
    """The same of each line of `values` [lines, n]: a thousand lines at once take the time of some ten.

    On a line two neighbouring clusters are always the nearest, so only neighbours are ever merged.
    """
    signed = values if lower_is_better else -values
    order = np.argsort(signed, axis=1, kind="stable")
    ordered = _without_rounding(np.take_along_axis(signed, order, axis=1))
    numbers = np.empty(values.shape, dtype=np.int64)
    np.put_along_axis(numbers, order, np.cumsum(_begins(ordered), axis=1), axis=1)
    return numbers


def _without_rounding(ordered: Floats) -> Floats:
    """Sorted lines in which what differs by rounding alone is equal."""
    if ordered.shape[1] == 0:
        return ordered
    gaps = np.diff(ordered, axis=1, prepend=ordered[:, :1])
    gaps[gaps <= ROUNDING * np.abs(ordered).max(axis=1, keepdims=True)] = 0.0
    return ordered[:, :1] + np.cumsum(gaps, axis=1)


def _begins(ordered: Floats) -> npt.NDArray[np.bool_]:
    """Where another group than the first begins, in sorted lines [lines, n]: the last three clusters of Ward."""
    lines, count = ordered.shape
    rows, firsts = np.arange(lines), np.tile(np.arange(count), (lines, 1))
    means: Floats = ordered.copy()
    sizes: Floats = np.ones_like(means)
    while means.shape[1] > len(GROUPS):
        weights = sizes[:, 1:] * sizes[:, :-1] / (sizes[:, 1:] + sizes[:, :-1])
        left = (weights * np.diff(means, axis=1) ** 2).argmin(axis=1)
        size = sizes[rows, left] + sizes[rows, left + 1]
        total = (sizes * means)[rows, left] + (sizes * means)[rows, left + 1]
        sizes[rows, left], means[rows, left] = size, total / size
        kept = np.ones(means.shape, dtype=bool)
        kept[rows, left + 1] = False
        sizes, means = sizes[kept].reshape(lines, -1), means[kept].reshape(lines, -1)
        firsts = firsts[kept].reshape(lines, -1)
    begins = np.zeros(ordered.shape, dtype=bool)
    np.put_along_axis(begins, firsts[:, 1:], True, axis=1)
    begins[:, 1:] &= np.diff(ordered, axis=1) > 0
    return begins


def dense_ranks(counts: pd.DataFrame) -> pd.Series[int]:
    """Ranks from 1 of the rows of `counts` (columns `COUNTED`): most G1 first, then G2, then G3; equals share one."""
    return pd.Series(_dense_ranks(counts[list(COUNTED)].to_numpy()), index=counts.index)


def _dense_ranks(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of counts [..., methods, 4]."""
    weights = (counts.sum(axis=-1).max(initial=0) + 1) ** np.arange(len(GROUPS))[::-1]
    keys = (counts[..., : len(GROUPS)] * weights).sum(axis=-1)
    return np.asarray(rankdata(-keys, method="dense", axis=-1), dtype=np.int64)


def mid_places(ranks: npt.NDArray[Any]) -> Floats:
    """Places from 1 of dense ranks [..., methods]; equal ranks have the mean of the places that they share."""
    return np.asarray(rankdata(ranks, method="average", axis=-1), dtype=float)


def count_groups(groups: pd.DataFrame) -> pd.DataFrame:
    """How often each method (row of `groups`, a column per cell) is in each of `COUNTED`."""
    return pd.DataFrame({name: (groups == name).sum(axis=1) for name in COUNTED}, index=groups.index)


class Scores:
    """One metric of several methods in several cells.

    values: cell -> table of seeds (rows) x methods (columns), complete; methods without values there have no column.
    methods: all of them. lower_is_better: of the metric. states: (cell, method) -> what it is there instead of in a
    group; F where nothing else is said.
    """

    def __init__(
        self,
        values: Mapping[str, pd.DataFrame],
        methods: list[str],
        lower_is_better: bool,
        states: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        self.values, self.methods, self.lower_is_better = values, methods, lower_is_better
        self.states = states or {}

    @property
    def seeds(self) -> int:
        """The fewest seeds of a cell that has values."""
        return min((len(table) for table in self.values.values() if table.shape[1]), default=0)

    def only(self, methods: list[str], cells: list[str]) -> Scores:
        """The same of some methods and cells."""
        values = {
            name: table[[one for one in table if one in methods]]
            for name, table in self.values.items()
            if name in cells
        }
        return Scores(values, methods, self.lower_is_better)

    def groups(self) -> pd.DataFrame:
        """Methods x cells: the group of the mean over seeds, or the state."""
        numbers = [
            groups_of(table.mean().to_numpy(float)[None], self.lower_is_better) for table in self.values.values()
        ]
        named = np.array(COUNTED, dtype=object)[self._spread_out(numbers)[0]] if numbers else np.empty((0, 0))
        groups = pd.DataFrame(named, index=pd.Index(self.methods if numbers else []), columns=list(self.values))
        for (cell, method), state in self.states.items():
            groups.loc[method, cell] = state
        return groups

    def means(self) -> pd.DataFrame:
        """Methods x cells: the mean over seeds, NaN where there is none."""
        return pd.DataFrame({cell: table.mean() for cell, table in self.values.items()}).reindex(self.methods)

    def _tables(self) -> list[Floats]:
        return [table.to_numpy(float) for table in self.values.values()]

    def _spread_out(self, numbers: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        """[n, methods, cells] from [n, methods of the cell] for each cell; F where a method is not in it."""
        out = np.full((len(numbers[0]), len(self.methods), len(numbers)), COUNTED.index(FAILED))
        for cell, (table, own) in enumerate(zip(self.values.values(), numbers, strict=True)):
            out[:, [self.methods.index(name) for name in table.columns], cell] = own
        return out

    def bootstrap(self, resamples: int = RESAMPLES, seed: int = 0) -> Bootstrap | None:
        """Groups and places when the seeds of each cell are drawn anew, with replacement, for all methods alike.

        None below `inference.FEWEST_SEEDS` seeds, where such intervals missed the true place far too often.
        """
        if self.seeds < FEWEST_SEEDS:
            return None
        drawn = self._spread_out(
            [
                _resampled_group_numbers(
                    table.tobytes(), table.shape, self.lower_is_better, resamples, f"{seed} {cell}"
                )
                for cell, table in zip(self.values, self._tables(), strict=True)
            ]
        )
        counts = np.stack([(drawn == number).sum(2) for number in range(len(COUNTED))], axis=2)
        low, high = np.percentile(mid_places(_dense_ranks(counts)), [2.5, 97.5], axis=0, method="nearest")
        shares = {name: (drawn == number).mean(0) for number, name in enumerate(COUNTED)}
        index, cells = pd.Index(self.methods), list(self.values)
        return Bootstrap(
            pd.concat({name: pd.DataFrame(share, index=index, columns=cells) for name, share in shares.items()}),
            pd.DataFrame({"low": low, "high": high}, index=index),
        )

    def noise(self) -> dict[str, float]:
        """Cell -> p of "all methods have the same mean there" (`inference.spread_p`), NaN where it cannot be tested."""
        return {cell: inference.spread_p(table.to_numpy(float)) for cell, table in self.values.items()}

    def neighbours(self) -> pd.DataFrame:
        """Per cell, the methods in order of their means, each tested against the next.

        Columns cell, better, worse, p and verdict as `inference.neighbours` gives them.
        """
        lines = []
        for cell, table in self.values.items():
            order = self._in_order(table)
            found = inference.neighbours(table[order].to_numpy(float))
            lines += [(cell, *pair, *one) for pair, one in zip(pairwise(order), found, strict=True)]
        return pd.DataFrame(lines, columns=["cell", "better", "worse", "p", "verdict"])

    def against_best(self) -> pd.DataFrame:
        """Per cell, the methods in order of their means, each tested against the first.

        Columns cell, method, mean, difference (of the means, positive: worse than the best), p and verdict as
        `inference.against_best` gives them.
        """
        lines = []
        for cell, table in self.values.items():
            order = self._in_order(table)
            found = inference.against_best(table[order].to_numpy(float), 0)
            means = table[order].mean()
            behind = (means - means.iloc[:1].sum()) * (1 if self.lower_is_better else -1)
            lines += [(cell, name, means[name], behind[name], *one) for name, one in zip(order, found, strict=True)]
        return pd.DataFrame(lines, columns=["cell", "method", "mean", "difference", "p", "verdict"])

    def _in_order(self, table: pd.DataFrame) -> list[str]:
        return list(table.mean().sort_values(ascending=self.lower_is_better, kind="stable").index)

    def critical_difference(self) -> inference.CriticalDifference | None:
        """Mean places over cells and how far apart they must be; failed methods come last in a cell."""
        means = self.means()
        return inference.critical_difference(means if self.lower_is_better else -means)


class Bootstrap:
    """shares: (group, method) x cells, how often each group came out.

    interval: low and high place of each method in 95 % of the resamples, places as `mid_places` gives them.
    """

    def __init__(self, shares: pd.DataFrame, interval: pd.DataFrame) -> None:
        self.shares, self.interval = shares, interval

    def share(self, group: str, method: str, cell: str) -> float:
        """How often `method` was in `group` of `cell`."""
        return float(self.shares[cell].loc[group].loc[method])

    @property
    def certain(self) -> pd.Series[bool]:
        """Whether each method has one place in all of its interval."""
        return self.interval["low"] == self.interval["high"]


@lru_cache(maxsize=256)  # a cell has the same draws in the rankings of all cells, of its architecture and dataset
def _resampled_group_numbers(
    values: bytes, shape: tuple[int, int], lower_is_better: bool, resamples: int, seed: str
) -> npt.NDArray[np.int64]:
    """[resamples, methods]: groups of the means over drawn seeds; values: a float64 table, `shape` [seeds, methods]."""
    table = np.frombuffer(values).reshape(shape)
    generator = np.random.default_rng(list(seed.encode()))
    chosen = generator.integers(shape[0], size=(resamples, shape[0])) if shape[0] else np.empty((resamples, 0), int)
    return groups_of(table[chosen].mean(axis=1) if shape[1] else np.empty((resamples, 0)), lower_is_better)
