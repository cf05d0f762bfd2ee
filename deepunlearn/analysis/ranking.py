"""The paper's table 1 from rows: methods by groups over cells, per architecture and dataset, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from deepunlearn.analysis.aggregate import FAILED as METHOD_FAILED
from deepunlearn.analysis.aggregate import INCOMPLETE, aggregate
from deepunlearn.analysis.rank import LOWER_IS_BETTER, Bootstrap, Scores, count_groups, dense_ranks
from deepunlearn.analysis.rows import REFERENCES, current

KIND = ["protocol", "search", "space", "selection", "trials"]  # what results of different cells must have in common


@dataclass(frozen=True)
class Ranking:
    """Methods ranked over the cells of a scope by each metric.

    scope: e.g. "all cells"; kind: how hyper-parameters were chosen, in words, where there are several ways, else "";
    name: of its files; rows: that it rests on; left_out: methods and cells that could not take
    part, in words. groups, counts, ranks, shares, neighbours: by metric, as `rank.Scores` and its helpers give them.
    """

    name: str
    scope: str
    kind: str
    rows: pd.DataFrame
    left_out: str
    titles: dict[str, str]
    groups: dict[str, pd.DataFrame]
    ranks: dict[str, pd.Series[int]]
    bootstraps: dict[str, Bootstrap]
    neighbours: dict[str, pd.DataFrame]

    def counts(self, metric: str) -> pd.DataFrame:
        return count_groups(self.groups[metric])

    def disagree(self, method: str) -> bool:
        """Whether the rank intervals of the metrics have no rank in common."""
        intervals = [self.bootstraps[metric].interval.loc[method] for metric in LOWER_IS_BETTER]
        return bool(max(one["low"] for one in intervals) > min(one["high"] for one in intervals))


def rankings(frame: pd.DataFrame, cases: pd.DataFrame) -> list[Ranking]:
    """One per way of choosing hyper-parameters and scope: all cells; with several, each architecture and each dataset.

    A scope of which no method has run in every cell has no ranking.
    frame: what `rows.collect` returned; cases: what `coverage.outcomes` made of it.
    """
    rows = current(frame)
    rows = rows[~rows["method"].isin(REFERENCES)].copy()
    if rows.empty:
        return []
    rows["column"] = _cell_names(rows)
    lines = aggregate(frame, cases)
    lines = lines[~lines["method"].isin(REFERENCES)]
    kinds = [subset for _, subset in rows.groupby(KIND, dropna=False)]
    made = []
    for number, subset in enumerate(kinds):
        suffix = f"-{number + 1}" if len(kinds) > 1 else ""
        distinct, remarks = _one_set_per_cell(subset)
        scopes = _scopes(distinct) if len(distinct) else iter(())
        kind = in_words(subset.iloc[0]) if len(kinds) > 1 else ""
        made += [_ranking((f"ranking{name}{suffix}", scope, kind), own, lines, remarks) for name, scope, own in scopes]
    return [one for one in made if one.titles]


def _cell_names(rows: pd.DataFrame) -> pd.Series[str]:
    """Dataset and architecture; followed by the cell's first digits where several recipes share these."""
    names = rows["dataset_title"] + " " + rows["arch_title"]
    several = rows.groupby(names)["cell"].transform("nunique") > 1
    return names.mask(several, names + " " + rows["cell"].str[:8])


def _scopes(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    yield "", "all cells", rows
    for field in ("arch", "dataset"):
        subsets = rows.groupby([field, f"{field}_title"])
        if len(subsets) > 1:
            yield from ((f"-{name}", str(title), subset) for (name, title), subset in subsets)


def in_words(row: pd.Series) -> str:
    """How the hyper-parameters of a row's result set were chosen, e.g. " (quick, 20 trials)"."""
    return f" ({row['search']}" + ("" if pd.isna(row["trials"]) else f", {row['trials']} trials") + ")"


def _ranking(labels: tuple[str, str, str], rows: pd.DataFrame, lines: pd.DataFrame, left_out: list[str]) -> Ranking:
    """labels: name, scope, kind; lines: of `aggregate`: of failed methods too, perhaps without a row."""
    remarks = list(left_out)
    rows_of = {(str(column), str(method)): subset for (column, method), subset in rows.groupby(["column", "method"])}
    own = lines.merge(rows[["cell", "result_set", "column"]].drop_duplicates(), on=["cell", "result_set"])
    states = zip(own["column"], own["method"], own["status"], strict=True)
    state = {(str(column), str(method)): str(status) for column, method, status in states}
    columns, methods = sorted({column for column, _ in state}), sorted({method for _, method in state})
    complete = [
        method for method in methods if all(state.get((column, method), INCOMPLETE) != INCOMPLETE for column in columns)
    ]
    missing = sorted(set(methods) - set(complete))
    if missing:
        remarks.append(f"not in every cell, and so not ranked: {', '.join(missing)}")
    scores = {metric: _scores(rows_of, state, columns, complete, metric) for metric in LOWER_IS_BETTER}
    groups = {metric: one.groups() for metric, one in scores.items()}
    name, scope, kind = labels
    return Ranking(
        name=name,
        scope=scope,
        kind=kind,
        rows=rows,
        left_out="; ".join(remarks),
        titles={
            method: title
            for method, title in zip(own["method"], own["method_title"], strict=True)
            if method in complete
        },
        groups=groups,
        ranks={metric: dense_ranks(count_groups(one)) for metric, one in groups.items()},
        bootstraps={metric: one.bootstrap() for metric, one in scores.items()},
        neighbours={metric: one.neighbours() for metric, one in scores.items()},
    )


def _one_set_per_cell(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Without cells that have several result sets of one kind (settings made by hand), which cannot be told apart."""
    several = rows.groupby("column")["result_set"].transform("nunique") > 1
    names = sorted(rows.loc[several, "column"].unique())
    return rows[~several], [f"several result sets, and so left out: {', '.join(names)}"] if names else []


def _scores(
    rows_of: dict[tuple[str, str], pd.DataFrame],
    state: dict[tuple[str, str], str],
    columns: list[str],
    methods: list[str],
    metric: str,
) -> Scores:
    """The metric's values per cell; a method that failed there, or has no value on some seed, has no column."""
    values = {}
    for column in columns:
        own = {
            method: rows_of[column, method].set_index("seed")[metric]
            for method in methods
            if state[column, method] != METHOD_FAILED
        }
        values[column] = pd.DataFrame(own).sort_index().dropna(axis="columns")
    return Scores(values, methods, LOWER_IS_BETTER[metric])
