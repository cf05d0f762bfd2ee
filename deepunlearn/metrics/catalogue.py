"""The catalogue of measures: what each column of scores is called, means and takes as good.

A measure is a YAML, of ours in conf/measure/. Tables, headers, marks, captions, the glossary and the checks of stored
rows are made from it, so that a new column needs no other file of the analysis.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Sequence
from itertools import takewhile

import yaml

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Column, Measure
from deepunlearn.core.paths import shipped
from deepunlearn.core.validation import validate

SCORED_TOGETHER = ("accuracy", "loss_attack", "time", "distance", "corrected", "learning_phase", "requests")
"""Measures of every model, in the order of their columns. Their values are part of the metrics and of the row, and
their version is that of `deepunlearn.metrics`. Any other measure has entries of its own in the store.
"""


class Catalogue:
    """Some measures, in the order of their columns. Raises ConfigError where two have a column of the same name.

    left_out: further measures that are stored, with a column whose name one of these has.
    """

    def __init__(self, measures: Iterable[Measure]) -> None:
        self.measures = tuple(measures)
        self.left_out: tuple[Measure, ...] = ()
        self.columns = tuple(column for measure in self.measures for column in measure.columns)
        self.shown = _costs_together(self.measures)
        self.glossary = tuple(term for measure in self.measures for term in measure.glossary)
        names = [column.name for column in self.columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise taken_twice(twice, [measure.name for measure in self.measures])

    def of_values(self, known: Collection[str]) -> Catalogue:
        """The same, without showing sparse columns that are not among `known`, those with a value."""
        made = copy.copy(self)
        made.shown = tuple(column for column in self.shown if not column.sparse or column.name in known)
        return made

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def added(self) -> tuple[Column, ...]:
        """Columns of measures that have entries of their own."""
        return tuple(one for each in self.measures if each.name not in SCORED_TOGETHER for one in each.columns)


def _costs_together(measures: Sequence[Measure]) -> tuple[Column, ...]:
    """The columns that are shown, those of costs where the first of them stands: ratios side by side, then the rest."""
    columns = [(measure.kind, column) for measure in measures for column in measure.columns if column.shown]
    costs = sorted((one for kind, one in columns if kind == "cost"), key=lambda one: one.better != "higher")
    before = list(takewhile(lambda pair: pair[0] != "cost", columns))
    behind = [one for kind, one in columns[len(before) :] if kind != "cost"]
    return (*(one for _, one in before), *costs, *behind)


def taken_twice(columns: Iterable[str], measures: Iterable[str]) -> ConfigError:
    return ConfigError(
        "two columns of scores have the same name",
        given=", ".join(columns),
        allowed=f"each name once among the measures {', '.join(measures)} and the other fields of a row",
        remedy="rename the column in the YAML of the measure that came later",
    )


def _read(name: str) -> Measure:
    path = shipped("conf") / "measure" / f"{name}.yaml"
    return validate(Measure, yaml.safe_load(path.read_text(encoding="utf-8")), f"measure {path.name}")


BUILT_IN = Catalogue(_read(name) for name in SCORED_TOGETHER)
