"""The result sets that the page sums up: results that may be compared, each with its own ranking and trust."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from deepunlearn.analysis.aggregate import aggregate, result_set_rows, with_names
from deepunlearn.analysis.inference import Floats
from deepunlearn.analysis.page.names import Labels, labels_of, titles_of
from deepunlearn.analysis.rank import LOWER_IS_BETTER
from deepunlearn.analysis.ranking import Ranking, rankings
from deepunlearn.analysis.records import Records
from deepunlearn.analysis.rows import REFERENCES

UNRANKED = "Not ranked: no method has a model of every seed; the values stand as they are."


@dataclass(frozen=True)
class ResultSet:
    """One dataset, architecture, forget set, protocol and way of choosing hyper-parameters.

    name: of its files and views; lines: of `aggregate`, references first; rows: its models, with references; ranking:
    of its methods in this set alone, None where no method is complete.
    """

    name: str
    title: str
    labels: Labels
    result_set: str
    lines: pd.DataFrame
    rows: pd.DataFrame
    ranking: Ranking | None

    @property
    def methods(self) -> pd.DataFrame:
        """The lines of methods."""
        return self.lines[~self.lines["method"].isin(REFERENCES)]

    @property
    def seeds(self) -> int:
        return int(self.rows["seed"].nunique())

    @property
    def trust(self) -> str:
        """How far the ranking can be trusted, in a sentence for each metric that differs."""
        if self.ranking is None:
            return UNRANKED
        left = self.ranking.left_out
        return f"{self.ranking.trust} {left[0].upper()}{left[1:]}." if left else self.ranking.trust

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is ranked by, RetDev and Indisc or what stands in their place."""
        return tuple(LOWER_IS_BETTER) if self.ranking is None else self.ranking.metrics

    @property
    def metrics_ranked(self) -> list[str]:
        """The metrics by which methods have ranks."""
        return [] if self.ranking is None else [name for name, one in self.ranking.judged.items() if not one.refused]

    @cached_property
    def _usable(self) -> dict[str, pd.DataFrame]:
        """method -> rows of its usable models."""
        return {str(method): own for method, own in self.rows[self.rows["usable"]].groupby("method")}

    def values(self, method: str, column: str) -> Floats:
        """Of the usable models of a method [models], those that have none left out."""
        if method not in self._usable:
            return np.empty(0)
        values: Floats = self._usable[method][column].to_numpy(float, na_value=np.nan)
        return values[np.isfinite(values)]


def result_sets(records: Records) -> list[ResultSet]:
    """Those with a model of a method; what tells most comes first: ranked, then of more seeds and more methods."""
    if records.rows.empty:
        return []
    sets = list(_sets(records))
    return sorted(sets, key=lambda one: (-len(one.metrics_ranked), -one.seeds, -len(one.methods), one.title))


def _sets(records: Records) -> Iterator[ResultSet]:
    lines = with_names(aggregate(records.rows, records.cases))
    rows = result_set_rows(records.rows, records.cases).merge(
        lines[["cell", "result_set", "name"]].drop_duplicates(), on=["cell", "result_set"]
    )
    methods = rows[~rows["method"].isin(REFERENCES)]
    titles = titles_of(methods)
    for name, own in methods.groupby("name"):
        cell, result_set = own["cell"].iloc[0], own["result_set"].iloc[0]
        yield ResultSet(
            name=str(name),
            title=titles[str(name)],
            labels=labels_of(own),
            result_set=str(result_set),
            lines=lines[lines["name"] == name],
            rows=rows[rows["name"] == name],
            ranking=_ranking(records, cell, result_set),
        )


def _ranking(records: Records, cell: str, result_set: str) -> Ranking | None:
    """Of one result set alone."""
    frame, cases = records.rows, records.cases
    own = frame[(frame["cell"] == cell) & frame["result_set"].fillna(result_set).eq(result_set)]
    asked = cases[(cases["cell"] == cell) & cases["result_set"].isin([result_set, ""])]
    found = rankings(own, asked)
    return found[0] if found else None
