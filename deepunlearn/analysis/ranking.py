"""The paper's table 1 from rows: methods by groups over cells, per architecture and dataset, and how sure that is."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from deepunlearn.analysis.aggregate import INCOMPLETE, aggregate
from deepunlearn.analysis.rank import INSTEAD, LOWER_IS_BETTER, NOT_APPLICABLE, UNDEFINED, Scores, count_groups
from deepunlearn.analysis.rows import REFERENCES, current
from deepunlearn.analysis.sets import asked_for, forgotten_by, kind_names, kinds
from deepunlearn.analysis.trust import Judged, judge
from deepunlearn.metrics.catalogue import BUILT_IN


@dataclass(frozen=True)
class Ranking:
    """Methods ranked over the cells of a scope by each metric.

    scope: e.g. "all cells"; kind: how hyper-parameters were chosen, in words, where there are several ways, else "";
    name: of its files; rows: that it rests on; in_place: which metric ranks in place of which and why, in words, or "";
    left_out: methods and cells that could not take part, in words; titles: of the methods that were run in every cell.
    By metric: scores (of all of these), ranked (of those that can be ranked), groups (methods x cells; a state where
    there is no group), judged (ranks and how far to trust them), neighbours and best (each method against the next and
    against the best of its cell).
    """

    name: str
    scope: str
    kind: str
    rows: pd.DataFrame
    in_place: str
    left_out: str
    titles: dict[str, str]
    scores: dict[str, Scores]
    ranked: dict[str, Scores]
    groups: dict[str, pd.DataFrame]
    judged: dict[str, Judged]
    neighbours: dict[str, pd.DataFrame]
    best: dict[str, pd.DataFrame]

    @property
    def metrics(self) -> tuple[str, ...]:
        """What ranks: RetDev and Indisc, or what stands in their place."""
        return tuple(self.judged)

    @property
    def ranks(self) -> dict[str, pd.Series[int]]:
        """By metric, the rank of each method that has one; of RetDev nobody's where another ranks in its place."""
        nobody = {metric: pd.Series(dtype="int64") for metric in LOWER_IS_BETTER if metric not in self.judged}
        return {metric: one.ranks for metric, one in self.judged.items()} | nobody

    @property
    def trust(self) -> str:
        """Which metric ranks, where it is another than usual; a sentence per metric, one where they are the same."""
        said = {metric: one.sentence for metric, one in self.judged.items()}
        if len(set(said.values())) == 1:
            return self.in_place + next(iter(said.values()))
        return self.in_place + " ".join(f"{metric}: {sentence}" for metric, sentence in said.items())

    def counts(self, metric: str) -> pd.DataFrame:
        return count_groups(self.groups[metric])

    def interval(self, metric: str) -> pd.DataFrame:
        """low and high place of each ranked method; no lines where none is given."""
        one = self.judged[metric]
        bare = pd.DataFrame(columns=["low", "high"], dtype=float)
        return bare if one.bootstrap is None or one.refused else one.bootstrap.interval

    def disagree(self, method: str) -> bool:
        """Whether the intervals of the metrics have no place in common; never where there are none."""
        intervals = [self.interval(metric) for metric in self.metrics]
        if not all(method in one.index for one in intervals):
            return False
        lines = [one.loc[method] for one in intervals]
        return bool(max(one["low"] for one in lines) > min(one["high"] for one in lines))


def rankings(frame: pd.DataFrame, cases: pd.DataFrame) -> list[Ranking]:
    """One per way of choosing hyper-parameters and scope: all cells; of several each architecture, dataset, forget set.

    Cells are those that were asked for: one in which every method failed counts. A scope of which no method has run in
    every cell has no ranking.
    frame: what `rows.collect` returned, cases: what `coverage.outcomes` made of it, both of one round of requests one
    after the other (`rows.of_round`), since rounds are not cells to rank over.
    """
    rows = current(frame)
    rows = rows[~rows["method"].isin(REFERENCES)].copy()
    if rows.empty:
        return []
    rows["kind"] = kinds(rows)
    sets, lines, names = asked_for(rows, cases), aggregate(frame, cases), kind_names(rows)
    lines = lines[~lines["method"].isin(REFERENCES)]
    unknown = sorted(sets.loc[sets["kind"] < 0, "column"].unique())
    made = []
    for kind, name in names.items():
        suffix = f"-{kind + 1}" if len(names) > 1 else ""
        distinct, remarks = _one_set_per_cell(sets[sets["kind"] == kind])
        if unknown:
            remarks.append(f"no model of any method, nor a word on how it was to be found: {', '.join(unknown)}")
        for position, scope, own in _scopes(distinct, rows) if len(distinct) else ():
            made.append(_ranking((f"ranking{position}{suffix}", scope, name), own, rows, lines, remarks))
    return [one for one in made if one.titles]


def _scopes(sets: pd.DataFrame, rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    yield "", "all cells", sets
    by_forget_set = sets.groupby(sets["cell"].map(forgotten_by(rows)))
    if len(by_forget_set) > 1:
        names = _slugs([str(title) for title in by_forget_set.groups])
        yield from ((f"-forget-{names[str(title)]}", f"forgotten: {title}", own) for title, own in by_forget_set)
    for field in ("arch", "dataset"):
        titles = dict(zip(rows[field].tolist(), rows[f"{field}_title"].tolist(), strict=True))
        subsets = sets.groupby(field)
        if len(subsets) > 1:
            yield from ((f"-{name}", str(titles.get(str(name), name)), subset) for name, subset in subsets)


def _slugs(titles: list[str]) -> dict[str, str]:
    """Title -> its part of a file name; those that would be alike are numbered."""
    slugs = [_slug(title) for title in titles]
    made: dict[str, str] = {}
    for title, slug in zip(titles, slugs, strict=True):
        numbered = (f"{slug}-{number}" for number in itertools.count(1))
        taken = {*slugs, *made.values()}
        made[title] = slug if slugs.count(slug) == 1 else next(name for name in numbered if name not in taken)
    return made


def _slug(title: str) -> str:
    return re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")


def _one_set_per_cell(sets: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Without cells that have several result sets of one kind (settings made by hand), which cannot be told apart."""
    several = sets.groupby("column")["result_set"].transform("nunique") > 1
    names = sorted(sets.loc[several, "column"].unique())
    return sets[~several], [f"several result sets, and so left out: {', '.join(names)}"] if names else []


@dataclass(frozen=True)
class _Metric:
    """every: of all methods in all cells; ranked: of the methods and cells that can be ranked by it."""

    every: Scores
    ranked: Scores


def _ranking(
    labels: tuple[str, str, str], sets: pd.DataFrame, rows: pd.DataFrame, lines: pd.DataFrame, left_out: list[str]
) -> Ranking:
    """labels: name, scope, kind; lines: of `aggregate`: of failed methods too, perhaps without a row."""
    position = sets[["cell", "result_set", "column"]]
    rows, own = rows.merge(position, on=["cell", "result_set"]), lines.merge(position, on=["cell", "result_set"])
    states = own.pivot_table(index="method", columns="column", values="status", aggfunc="last").fillna(INCOMPLETE)
    complete = states[(states != INCOMPLETE).all(axis=1)]
    titles = dict(zip(own["method"], own["method_title"], strict=True))
    remarks = [*left_out, *_missing(states, complete, titles)]
    metrics: dict[str, _Metric] = {}
    in_place = {metric: _in_place(rows, metric) for metric in LOWER_IS_BETTER}
    for metric in (INSTEAD[metric] if why else metric for metric, why in in_place.items()):
        metrics[metric], more = _metric(rows, complete, metric, titles)
        remarks += more
    trials = rows["trials"].dropna()
    judged = {name: judge(one.ranked, None if trials.empty else int(trials.max())) for name, one in metrics.items()}
    name, scope, kind = labels
    return Ranking(
        name=name,
        scope=scope,
        kind=kind,
        rows=rows,
        in_place="".join(in_place.values()),
        left_out="; ".join(dict.fromkeys(remarks)),
        titles={str(method): titles[method] for method in complete.index},
        scores={name: one.every for name, one in metrics.items()},
        ranked={name: one.ranked for name, one in metrics.items()},
        groups={name: one.every.groups() for name, one in metrics.items()},
        judged=judged,
        neighbours={name: one.every.neighbours() for name, one in metrics.items()},
        best={name: one.every.against_best() for name, one in metrics.items()},
    )


def _in_place(rows: pd.DataFrame, metric: str) -> str:
    """That and why another metric ranks in place of `metric`: that has no value in any cell, and the other has."""
    instead, usable = INSTEAD.get(metric), rows[rows["usable"]]
    if instead is None or usable[metric].notna().any() or usable[instead].isna().all():
        return ""
    reasons = usable["reason"].dropna().str.split(";").str[0].str.removeprefix(f"{metric} undefined: ")
    why = f" ({reasons.iloc[0]})" if len(reasons) else ""
    return f"Ranked by {instead} in place of {metric}, which is not defined in any cell here{why}. "


def _missing(states: pd.DataFrame, complete: pd.DataFrame, titles: dict[str, str]) -> list[str]:
    """Which methods are not ranked, for want of runs or since they cannot be applied."""
    left = sorted(titles[name] for name in states.index.difference(complete.index))
    remarks = [f"not in every cell, and so not ranked: {', '.join(left)}"] if left else []
    for column in complete:
        bare = [titles[name] for name in complete.index[complete[column] == NOT_APPLICABLE]]
        remarks += [f"not applicable in {column}, and so not ranked: {', '.join(sorted(bare))}"] if bare else []
    return remarks


def _metric(rows: pd.DataFrame, states: pd.DataFrame, metric: str, titles: dict[str, str]) -> tuple[_Metric, list[str]]:
    """The values of a metric, and what could not be ranked by it. states: methods x columns, status of `aggregate`.

    A cell in which it is not defined for any method is left out; a method for which alone it is not, too.
    """
    values = {str(column): _values(rows, states[column], metric) for column in states}
    own = {(column, str(name)): str(states.loc[name, column]) for column in values for name in states.index}
    bare = {key for key, status in own.items() if status == "" and key[1] not in values[key[0]]}
    said = dict.fromkeys(bare, UNDEFINED) | {key: NOT_APPLICABLE for key, one in own.items() if one == NOT_APPLICABLE}
    methods = [str(name) for name in states.index]
    every = Scores(values, methods, BUILT_IN[metric].better == "lower", said)
    empty = [column for column, table in values.items() if not table.shape[1] and any(key[0] == column for key in bare)]
    remarks = [f"{metric} is not defined in {column} ({_reason(rows, column)})" for column in empty]
    alone = sorted({name for column, name in bare if column not in empty})
    remarks += [f"{metric} is not defined in every cell, and so not ranked: {titles[name]}" for name in alone]
    held = [name for name in methods if name not in alone and not (states.loc[name] == NOT_APPLICABLE).any()]
    return _Metric(every, every.only(held, [column for column in values if column not in empty])), remarks


def _values(rows: pd.DataFrame, status: pd.Series[str], metric: str) -> pd.DataFrame:
    """Seeds x methods of a column, of methods that did not fail there and have a value on every seed."""
    own = rows[(rows["column"] == status.name) & rows["method"].isin(status.index[status == ""])]
    return own.pivot(index="seed", columns="method", values=metric).sort_index().dropna(axis="columns")


def _reason(rows: pd.DataFrame, column: str) -> str:
    reasons = rows.loc[rows["column"] == column, "reason"].dropna()
    return "no reason was kept" if reasons.empty else str(reasons.iloc[0])
