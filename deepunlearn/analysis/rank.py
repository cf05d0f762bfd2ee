"""Ranking methods by groups (the paper, section 4.4; protocol section 7), and how sure a ranking is.

Per cell the methods' means over seeds are clustered into at most three groups, G1 the best; over cells the groups are
counted, and the counts compared from G1 downwards. F: the method failed in that cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.cluster.hierarchy import ward
from scipy.stats import wilcoxon

from deepunlearn.metrics.catalogue import BUILT_IN

GROUPS = ("G1", "G2", "G3")
FAILED = "F"
COUNTED = (*GROUPS, FAILED)
LOWER_IS_BETTER: Mapping[str, bool] = {name: BUILT_IN[name].better == "lower" for name in ("RetDev", "Indisc")}
RESAMPLES = 1000
FEWEST_SEEDS = 6  # with 5 pairs no two-sided signed-rank test reaches 0.05
LEVEL = 0.05

Floats = npt.NDArray[np.float64]


def group(values: Floats, lower_is_better: bool) -> npt.NDArray[np.int64]:
    """The group of each of `values` [n], 0 the best: Ward clusters in order of their means.

    With fewer than three distinct values each is a group of its own. Values must be finite, n at least 1.
    """
    distinct = np.unique(values)
    labels = np.searchsorted(distinct, values) if len(distinct) <= len(GROUPS) else _ward(values)
    centres = np.array([values[labels == label].mean() for label in range(labels.max() + 1)])
    order = np.argsort(centres if lower_is_better else -centres)
    numbers = np.empty_like(order)
    numbers[order] = np.arange(len(order))
    return numbers[labels].astype(np.int64)


def _ward(values: Floats) -> npt.NDArray[np.int64]:
    """Labels from 0 of three Ward clusters, those of scikit-learn at a tenth of its time."""
    clusters = {number: [number] for number in range(len(values))}
    merges = ward(values[:, None])[: -len(GROUPS) + 1, :2].astype(int).tolist()
    for number, (one, other) in enumerate(merges, start=len(values)):
        clusters[number] = clusters.pop(one) + clusters.pop(other)
    labels = np.empty(len(values), dtype=np.int64)
    for label, members in enumerate(clusters.values()):
        labels[members] = label
    return labels


def dense_ranks(counts: pd.DataFrame) -> pd.Series[int]:
    """Ranks from 1 of the rows of `counts` (columns `COUNTED`): most G1 first, then G2, then G3; equals share one."""
    return pd.Series(_dense_ranks(counts[list(COUNTED)].to_numpy()), index=counts.index)


def _dense_ranks(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of counts [methods, 4]."""
    distinct, number = np.unique(counts[:, : len(GROUPS)], axis=0, return_inverse=True)
    return np.asarray(len(distinct) - number.ravel(), dtype=np.int64)


def count_groups(groups: pd.DataFrame) -> pd.DataFrame:
    """How often each method (row of `groups`, a column per cell) is in each of `COUNTED`."""
    return pd.DataFrame({name: (groups == name).sum(axis=1) for name in COUNTED}, index=groups.index)


class Scores:
    """One metric of several methods in several cells.

    values: cell -> table of seeds (rows) x methods (columns), complete; failed methods of the cell have no column.
    methods: all of them. lower_is_better: of the metric.
    """

    def __init__(self, values: Mapping[str, pd.DataFrame], methods: list[str], lower_is_better: bool) -> None:
        self.values, self.methods, self.lower_is_better = values, methods, lower_is_better

    def groups(self) -> pd.DataFrame:
        """Methods x cells: the group of the mean over seeds, or F."""
        numbers = self._spread_out([_group_numbers(table, self.lower_is_better) for table in self._tables()])
        named = np.array(COUNTED, dtype=object)[numbers[0]]
        return pd.DataFrame(named, index=pd.Index(self.methods), columns=list(self.values))

    def _tables(self) -> list[Floats]:
        return [table.to_numpy(float) for table in self.values.values()]

    def _spread_out(self, numbers: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        """[n, methods, cells] from [n, methods of the cell] for each cell; F where a method is not in it."""
        out = np.full((len(numbers[0]), len(self.methods), len(numbers)), COUNTED.index(FAILED))
        for cell, (table, own) in enumerate(zip(self.values.values(), numbers, strict=True)):
            out[:, [self.methods.index(name) for name in table.columns], cell] = own
        return out

    def bootstrap(self, resamples: int = RESAMPLES, seed: int = 0) -> Bootstrap:
        """Groups and ranks when the seeds of each cell are drawn anew, with replacement, for all methods alike."""
        drawn = self._spread_out(
            [
                _resampled_group_numbers(
                    table.tobytes(), table.shape, self.lower_is_better, resamples, f"{seed} {cell}"
                )
                for cell, table in zip(self.values, self._tables(), strict=True)
            ]
        )
        counts = np.stack([(drawn == number).sum(2) for number in range(len(COUNTED))], axis=2)
        ranks = np.stack([_dense_ranks(count) for count in counts])
        low, high = np.percentile(ranks, [2.5, 97.5], axis=0, method="nearest")
        shares = {name: (drawn == number).mean(0) for number, name in enumerate(COUNTED)}
        index, cells = pd.Index(self.methods), list(self.values)
        return Bootstrap(
            pd.concat({name: pd.DataFrame(share, index=index, columns=cells) for name, share in shares.items()}),
            pd.DataFrame({"low": low, "high": high}, index=index).astype(int),
        )

    def neighbours(self) -> pd.DataFrame:
        """Per cell, the methods in order of their means, each tested against the next.

        Columns cell, better, worse, p (Wilcoxon's signed-rank test over seeds, two-sided, Holm's correction within the
        cell), verdict: differ, not distinguished, or not testable (fewer than 6 seeds).
        """
        lines = [line for cell, table in self.values.items() for line in self._neighbours(cell, table)]
        return pd.DataFrame(lines, columns=["cell", "better", "worse", "p", "verdict"])

    def _neighbours(self, cell: str, table: pd.DataFrame) -> list[tuple[str, str, str, float, str]]:
        order = table.mean().sort_values(ascending=self.lower_is_better, kind="stable").index
        pairs = list(pairwise(order))
        if len(table) < FEWEST_SEEDS:
            return [(cell, one, other, float("nan"), "not testable") for one, other in pairs]
        raw = np.array([_signed_rank(table[one] - table[other]) for one, other in pairs])
        return [
            (cell, one, other, float(p), "differ" if p < LEVEL else "not distinguished")
            for (one, other), p in zip(pairs, holm(raw), strict=True)
        ]


class Bootstrap:
    """shares: (group, method) x cells, how often each group came out; interval: 95 % low and high rank per method."""

    def __init__(self, shares: pd.DataFrame, interval: pd.DataFrame) -> None:
        self.shares, self.interval = shares, interval

    def share(self, group: str, method: str, cell: str) -> float:
        """How often `method` was in `group` of `cell`."""
        return float(self.shares[cell].loc[group].loc[method])


def _group_numbers(table: Floats, lower_is_better: bool) -> npt.NDArray[np.int64]:
    """[1, methods]: the groups of the means over the seeds of table [seeds, methods]."""
    return group(table.mean(0), lower_is_better)[None] if table.shape[1] else np.empty((1, 0), dtype=np.int64)


@lru_cache(maxsize=256)  # a cell has the same draws in the rankings of all cells, of its architecture and dataset
def _resampled_group_numbers(
    values: bytes, shape: tuple[int, int], lower_is_better: bool, resamples: int, seed: str
) -> npt.NDArray[np.int64]:
    """[resamples, methods]: groups of the means over drawn seeds; values: a float64 table, `shape` [seeds, methods]."""
    table = np.frombuffer(values).reshape(shape)
    generator = np.random.default_rng(list(seed.encode()))
    chosen = generator.integers(shape[0], size=(resamples, shape[0]))
    return np.concatenate([_group_numbers(table[rows], lower_is_better) for rows in chosen])


def holm(p: Floats) -> Floats:
    """Holm's step-down correction of p-values [n]."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected: Floats = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _signed_rank(differences: pd.Series[float]) -> float:
    values = differences.to_numpy(float)
    return 1.0 if not values.any() else float(wilcoxon(values).pvalue)
