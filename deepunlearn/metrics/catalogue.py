"""The catalogue of measures: what each column of scores is called, means and takes as good.

A measure is a YAML, of ours in conf/measure/. Tables, headers, marks, captions, the glossary and the checks of stored
rows are made from it, so that a new column needs no other file of the analysis.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, model_validator

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import shipped
from deepunlearn.core.validation import Frozen, PositiveInt, validate

SCORED_TOGETHER = ("accuracy", "loss_attack", "time", "distance")
"""Measures of every model, in the order of their columns. Their values are part of the metrics and of the row, and
their version is that of `deepunlearn.metrics`. Any other measure has entries of its own in the store.
"""

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Text = Annotated[str, Field(min_length=1)]


class Term(Frozen):
    """names: columns that it explains; reference: the value to compare with, and which way is better."""

    names: tuple[Text, ...]
    formula: Text
    reference: Text


class Column(Frozen):
    """One number per model, None where it is not defined."""

    name: Name
    meaning: Text
    type: Literal["float", "bool"] = "float"
    low: float | None = 0.0
    high: float | None = None
    unit: str = ""
    nullable: bool = True  # false: a row without it is damaged
    better: Literal["lower", "higher", "ideal", "retrained", "neither"]  # ideal: near `best`, from either side
    best: float | None = None  # the value that none can pass; of ideal: the value to meet
    hint: str = ""  # stands in the header instead of `best`
    word: str = ""  # what the best methods are called in captions: lowest, highest or this
    digits: Annotated[str, Field(pattern=r"^\.\d+[fg]$")] = ".3f"
    shown: bool = True  # false: in rows and records only

    @model_validator(mode="after")
    def _ideal_is_known(self) -> Column:
        if self.better == "ideal" and self.best is None:
            raise ValueError("better: ideal needs best: NUMBER")
        return self

    @property
    def header(self) -> str:
        """The column's title in tables, with the direction that is better."""
        arrow = {"lower": " ↓", "higher": " ↑"}.get(self.better, "")
        known = "" if self.best is None else f"{'ideal' if self.better == 'ideal' else 'best'} {self.best:g}"
        told = self.hint or known
        return f"{self.name}{arrow}" + (f" ({told})" if told else "")

    @property
    def reference(self) -> str:
        """The glossary's last column, of a measure that has no words of its own for it."""
        if self.better == "ideal":
            return f"{self.best:g}: closer is better"
        if self.better == "retrained":
            return "that of the retrained model: closer is better"
        best = "" if self.best is None else f"{self.best:g}: "
        return best + ("neither direction is better" if self.better == "neither" else f"{self.better} is better")

    @cached_property
    def accepts(self) -> TypeAdapter[Any]:
        """What a stored value is checked by."""
        return TypeAdapter(self.annotation | None if self.nullable else self.annotation, config={"strict": True})

    @property
    def annotation(self) -> Any:
        return bool if self.type == "bool" else Annotated[
            float, Field(ge=self.low, le=self.high, allow_inf_nan=False)
        ]  # fmt: skip


class Measure(Frozen):
    """A measure's YAML. kind: how good the model is, what an attack on it finds, or what it cost."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    version: PositiveInt  # bump when its values would come out differently
    title: Text
    source: Text
    kind: Literal["score", "attack", "cost"]
    needs: tuple[Literal["logits", "weights", "training"], ...]
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    terms: tuple[Term, ...] = ()  # where empty, each shown column explains itself
    module: str | None = None  # where its code is, if it is not ours
    code: str | None = None  # digest of that code's files

    @property
    def glossary(self) -> tuple[Term, ...]:
        own = (
            Term(names=(one.name,), formula=one.meaning, reference=one.reference) for one in self.columns if one.shown
        )
        return self.terms or tuple(own)

    @property
    def description(self) -> str:
        """What tables need to know of it, as JSON; kept with its values, which can then be read without its files."""
        return self.model_dump_json(exclude={"module"}, exclude_defaults=True)


class Catalogue:
    """Some measures, in the order of their columns. Raises ConfigError where two have a column of the same name."""

    def __init__(self, measures: Iterable[Measure]) -> None:
        self.measures = tuple(measures)
        self.columns = tuple(column for measure in self.measures for column in measure.columns)
        self.shown = tuple(column for column in self.columns if column.shown)
        self.glossary = tuple(term for measure in self.measures for term in measure.glossary)
        names = [column.name for column in self.columns]
        refuse_twice(names, [measure.name for measure in self.measures])

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def with_measures(self, measures: Iterable[Measure]) -> Catalogue:
        return Catalogue((*self.measures, *measures))

    @property
    def added(self) -> tuple[Column, ...]:
        """Columns of measures that have entries of their own."""
        return tuple(one for each in self.measures if each.name not in SCORED_TOGETHER for one in each.columns)

    def values(self, measure: Measure, found: Any, whose: str) -> dict[str, Any]:
        """The values that code gave for `measure`, checked. Raises ConfigError naming the column."""
        names = [column.name for column in measure.columns]
        if not isinstance(found, dict) or sorted(found) != sorted(names):
            raise _unfit(
                whose, str(sorted(found) if isinstance(found, dict) else found), f"values for {', '.join(names)}"
            )
        for column in measure.columns:
            try:
                column.accepts.validate_python(found[column.name])
            except ValueError:
                raise _unfit(f"{whose}: {column.name}", repr(found[column.name]), _range(column)) from None
        return found


def refuse_twice(columns: list[str], measures: list[str]) -> None:
    """Raises ConfigError for a column that two measures have."""
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise ConfigError(
            "two columns of scores have the same name",
            given=", ".join(twice),
            allowed=f"each name once among the measures {', '.join(measures)} and the other fields of a row",
            remedy="rename the column in the YAML of the measure that came later",
        )


def _range(column: Column) -> str:
    if column.type == "bool":
        return "true, false or None"
    return f"a finite float from {column.low} to {column.high}" + (" or None" if column.nullable else "")


def _unfit(what: str, given: str, allowed: str) -> ConfigError:
    return ConfigError(
        f"{what}: a measure's code returned something else than its YAML says",
        given=given,
        allowed=allowed,
        remedy="correct the code, or columns: in the YAML",
    )


def _read(name: str) -> Measure:
    path = shipped("conf") / "measure" / f"{name}.yaml"
    return validate(Measure, yaml.safe_load(path.read_text(encoding="utf-8")), f"measure {path.name}")


OURS = Catalogue(_read(name) for name in SCORED_TOGETHER)
