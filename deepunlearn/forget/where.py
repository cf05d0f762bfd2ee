"""Samples are forgotten by what is known of them: a person's pictures, a superclass, an age, a column of a table."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import reduce
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator

from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.forget import ForgetSet, Unseen
from deepunlearn.core.samples import EXACT, Candidates, Column, Data, Samples
from deepunlearn.core.validation import Unfit
from deepunlearn.forget.matching import MOST_NAMED, Mask, matched_by_rule, taken_whole

Number = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True, allow_inf_nan=False)]
Value = bool | Number | str
TYPES = {"i": "whole numbers", "f": "numbers", "U": "texts"}
PLURALS = {"identity": ("person", "persons")}  # attributes whose values are something that has a name of its own


class Span(BaseModel):
    """Numbers from one to another, both included; an end that is left out is open."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    first: Number | None = Field(default=None, alias="from")
    last: Number | None = Field(default=None, alias="to")

    @model_validator(mode="after")
    def _not_empty(self) -> Span:
        if (self.first is None and self.last is None) or not self.low <= self.high:
            raise Unfit(
                "a range in forget.where holds no number, or has no end",
                given=f"from {self.first} to {self.last}",
                allowed="{from: 10, to: 20}, both included, {from: 10} or {to: 20}",
                remedy="correct it",
            )
        return self

    @model_serializer
    def _written(self) -> dict[str, Any]:
        """As it is read."""
        return {name: end for name, end in (("from", self.first), ("to", self.last)) if end is not None}

    @property
    def low(self) -> float:
        return -math.inf if self.first is None else self.first

    @property
    def high(self) -> float:
        return math.inf if self.last is None else self.last


Condition = Span | tuple[Value, ...]
Wanted = Span | list[Any]


class WhereForget(ForgetSet):
    """All conditions hold: attribute -> a value, a list of values, or a range of numbers.

    A missing value (NaN) is in no range. The unseen counterpart has the same values where the test part has enough of
    them, else the same classes.
    """

    enlarge: ClassVar[str] = "widen forget.where"
    reduce: ClassVar[str] = "narrow forget.where"
    contract: ClassVar[tuple[str, ...]] = ("forget.where={colour: red, number: {to: 999}}",)

    where: dict[str, Condition]

    @property
    def title(self) -> str:
        return " and ".join(_titled(name, condition) for name, condition in sorted(self.where.items()))

    def choose(self, candidates: Candidates) -> npt.NDArray[np.integer[Any]]:
        return np.flatnonzero(self._matching(candidates))

    def unseen(self, candidates: Candidates, chosen: npt.NDArray[np.bool_], among: Samples) -> Unseen:
        there = self.where.keys() <= set(among.attributes)
        matching = self._matching(among) if there else None
        return matched_by_rule(candidates, chosen, among, matching, self.title)

    def whole_classes(self, candidates: Candidates) -> Sequence[int]:
        return taken_whole(candidates, self._matching(candidates), self._matching(candidates.val))

    def identity(self, data: Data) -> dict[str, Any]:
        """The conditions as the columns' types mean them, and a digest of these columns."""
        wanted = self._wanted(data.attributes.train)
        parts = (data.attributes.train, data.attributes.test)
        columns = [part[name] for name in sorted(wanted) for part in parts if name in part]
        where = {
            name: {"from": one.first, "to": one.last} if isinstance(one, Span) else one for name, one in wanted.items()
        }
        return {"where": where, "columns": digest(columns)}

    def _matching(self, samples: Samples) -> Mask:
        """Which of the samples all conditions hold of. Raises ConfigError where one asks for what there is not."""
        wanted = self._wanted(samples.data.attributes.train)
        return reduce(np.logical_and, (_holds(samples.attributes[name], one) for name, one in wanted.items()))

    def _wanted(self, columns: Mapping[str, Column]) -> dict[str, Wanted]:
        """The conditions in the types of the training part's columns."""
        for name in self.where:
            if name not in columns:
                raise _unknown_attribute(name, columns)
        return {name: _typed(name, condition, columns[name]) for name, condition in self.where.items()}

    @field_validator("where", mode="before")
    @classmethod
    def _given(cls, where: Any) -> Any:
        if not isinstance(where, Mapping) or not where:
            raise Unfit(
                "forget.where does not say which samples are forgotten",
                given=f"forget.where={where}",
                allowed="attributes with values, lists of values or ranges: {identity: [2820, 3227], age: {from: 60}}",
                remedy="give 'forget.where={NAME: VALUE}'; an unknown name is answered with those that there are",
            )
        return {str(name): _condition(str(name), given) for name, given in where.items()}


def _condition(name: str, given: Any) -> Any:
    """A value as a list of one. Raises Unfit for what is neither a value, nor a list of values, nor a range."""
    values = [given] if _is_value(given) else given
    ends = isinstance(given, Mapping) and bool(given) and given.keys() <= {"from", "to"}
    numbers = ends and all(_is_value(end) and not isinstance(end, bool | str) for end in given.values())
    plain = isinstance(values, list | tuple) and bool(values) and all(map(_is_value, values))
    if not (isinstance(given, Span) or numbers or plain):
        raise Unfit(
            "a condition in forget.where cannot be used",
            given=f"{name}: {given}",
            allowed="a value, a list of values such as [2820, 3227], or a range such as {from: 10, to: 20}",
            remedy=f"correct forget.where.{name}",
        )
    return values


def _is_value(given: Any) -> bool:
    return isinstance(given, bool | int | str) or (isinstance(given, float) and math.isfinite(given))


def digest(columns: Sequence[Column]) -> str:
    """64 hex digits of the values of these columns; how wide a text's memory is does not count."""
    total = hashlib.sha256()
    for column in columns:
        if column.dtype.kind == "U":
            content = "\0".join(column.tolist()).encode(errors="surrogatepass")
        else:
            content = column.astype(f"<{column.dtype.kind}8").tobytes()
        total.update(f"{column.dtype.kind} {len(column)} {len(content)} ".encode() + content)
    return total.hexdigest()


def _holds(column: Column, wanted: Wanted) -> Mask:
    if isinstance(wanted, Span):
        return np.asarray((column >= wanted.low) & (column <= wanted.high))
    if column.dtype.kind == "U":  # numpy would sort all texts
        texts = set(wanted)
        return np.fromiter(map(texts.__contains__, column.tolist()), dtype=bool, count=len(column))
    return np.isin(column, np.array(wanted, dtype=column.dtype))


def _typed(name: str, condition: Condition, column: Column) -> Wanted:
    """The condition in the type of its column: 2.0 is 2 in a column of whole numbers. Raises ConfigError."""
    kind = column.dtype.kind
    if isinstance(condition, Span):
        if kind == "U":
            raise _wrong_type(name, f"a range, {_span(condition)}", kind, column)
        return _whole(condition) if kind == "i" else Span(first=_float(condition.first), last=_float(condition.last))
    for value in condition:
        if isinstance(value, str) != (kind == "U"):
            raise _wrong_type(name, repr(value), kind, column)
    if kind == "f":
        _refuse_rounded(name, [value for value in condition if not isinstance(value, str) and abs(value) >= EXACT])
    there = set(column.tolist())
    lacking = [_shown(value) for value in condition if value not in there]
    if lacking:
        raise _unknown_values(name, lacking, column)
    return sorted({{"i": int, "f": float, "U": str}[kind](value) for value in condition})


def _float(end: float | None) -> float | None:
    return None if end is None else float(end)


def _whole(span: Span) -> Span:
    """The same range of whole numbers with whole ends."""
    low, high = span.first, span.last
    return Span(first=None if low is None else math.ceil(low), last=None if high is None else math.floor(high))


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if isinstance(value, int) else f"{value:.17g}"


def _span(span: Span) -> str:
    if span.last is None:
        return f"from {span.first}"
    return f"to {span.last}" if span.first is None else f"{span.first} to {span.last}"


def _titled(name: str, condition: Condition) -> str:
    """ "age 10 to 20", "coarse fish", "5 values of coarse", "2 persons"."""
    one, many = PLURALS.get(name, (name, None))
    if isinstance(condition, Span):
        return f"{name} {_span(condition)}"
    values = [str(value) for value in condition]
    if len(values) == 1 or (many is None and len(values) <= MOST_NAMED):
        return f"{one} {', '.join(values)}"
    return f"{len(values)} {many}" if many else f"{len(values)} values of {name}"


def _unknown_attribute(name: str, columns: Mapping[str, Column]) -> ConfigError:
    if not columns:
        return ConfigError(
            "the dataset has no attributes, so forget=where cannot choose by them",
            given=f"forget.where={{{name}: ...}}",
            allowed="a dataset whose source knows more of its samples than their class (docs/datasets.md)",
            remedy="give attributes.csv beside an image folder, or forget=list forget.file=FILE",
        )
    return unknown("attribute", name, columns)


def _unknown_values(name: str, lacking: list[str], column: Column) -> ConfigError:
    values = [_shown(one) for one in np.unique(column).tolist()]
    near = [match for one in lacking for match in get_close_matches(one, values[:10_000], n=1)]
    shown = ", ".join(values[:10]) + (f", ... ({len(values):,} values)" if len(values) > 10 else "")
    return ConfigError(
        f"no training sample has this value of attribute {name!r}",
        given=", ".join(lacking[:10]) + (f", ... ({len(lacking):,} in all)" if len(lacking) > 10 else ""),
        allowed=shown,
        remedy=f"did you mean {', '.join(dict.fromkeys(near))}?" if near else "give one of the values that there are",
    )


def _refuse_rounded(name: str, values: Sequence[float]) -> None:
    if values:
        raise ConfigError(
            f"attribute {name!r} holds numbers beyond 2^53, which are rounded: one may stand for several",
            given=", ".join(map(_shown, values)),
            allowed="values below 2^53, ranges, or texts",
            remedy="put a letter before each number in the file of the data, which makes texts of them, "
            f"and give 'forget.where={{{name}: n{_shown(values[0])}}}'",
        )


def _wrong_type(name: str, given: str, kind: str, column: Column) -> ConfigError:
    example = repr(column[0].item()) if len(column) else ""
    types = f"{TYPES[kind]}, such as {example}"
    return ConfigError(
        f"attribute {name!r} holds {TYPES[kind]}, forget.where asks for something else",
        given=given,
        allowed=types if kind == "U" else f"{types}, or ranges",
        remedy="put texts in quotes, e.g. 'forget.where={name: \"12\"}'" if kind == "U" else "leave quotes out",
    )
