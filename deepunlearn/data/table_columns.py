"""The columns of a table: of numbers, of categories, with the classes, and as attributes.

Numbers are standardised, categories get a number each (one-hot), by the training part. Sums are exact (math.fsum), so
that rows, and with them all keys, are the same on every machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from deepunlearn.core.errors import DataError
from deepunlearn.core.samples import EXACT, Indices
from deepunlearn.core.schema import DatasetConfig

MOST_CATEGORIES = 1000  # of a column: each is a number that every row has
MOST_CLASSES = 1000
LONGEST = 1000  # characters of a text that is kept as an attribute
MISSING = ("", "?")  # texts that stand for no value, beside what readers know (NA, NaN, null)
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?")
SHOWN = 3  # rows or columns that a message names
WITH_POINTS = 'write decimal points, e.g. with pandas.read_csv(FILE, sep=";", decimal=",").to_csv(NEW, index=False)'

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def unfit(config: DatasetConfig, given: str, allowed: str, remedy: str) -> DataError:
    """The error for a table that is there and cannot be used."""
    source = config.root if config.source == "table" else config.source
    return DataError(
        f"the table of dataset {config.name} ({source}) cannot be used", given=given, allowed=allowed, remedy=remedy
    )


# ------------------------------------------------------------------------------------------------------------- classes


class Classes:
    """The column with the classes: labels int64 [N], -1 where a value is missing; names, sorted."""

    def __init__(self, config: DatasetConfig, name: str, table: pa.Table) -> None:
        self.column = name
        values = _classes_as_text(config, name, table.column(name))
        encoded = values.combine_chunks().dictionary_encode()
        found = [str(one) for one in encoded.dictionary.to_pylist()]
        self.names = tuple(sorted(found, key=_in_order))
        self._check(config, len(table))
        number = {one: index for index, one in enumerate(self.names)}
        order = np.array([number[one] for one in found], dtype=np.int64)
        codes = _codes(encoded)
        self.labels = np.where(codes < 0, -1, order[codes])
        self.missing = codes < 0

    def _check(self, config: DatasetConfig, rows: int) -> None:
        if len(self.names) < 2:
            raise unfit(
                config,
                f"column {self.column!r} (dataset.target) is {', '.join(self.names) or 'empty'} in all {rows} rows",
                "at least two classes",
                "give another column as dataset.target, or more rows",
            )
        if len(self.names) > min(MOST_CLASSES, rows // 2):
            raise unfit(
                config,
                f"column {self.column!r} (dataset.target) has {len(self.names):,} values in {rows:,} rows: "
                f"{', '.join(self.names[:SHOWN])}, ...",
                f"at most {MOST_CLASSES:,} classes, with several rows each",
                "give the column with the classes as dataset.target; to predict a number, cut it into ranges first",
            )


def _classes_as_text(config: DatasetConfig, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pc.cast(pc.cast(_whole_numbers(config, name, _numbers(column)), pa.int64()), pa.string())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return pc.cast(column, pa.string())
    if _is_text(kind):
        return _texts(column)
    raise _no_values(config, name, kind, "dataset.target")


def _whole_numbers(config: DatasetConfig, name: str, values: Floats) -> pa.ChunkedArray:
    """Classes that are numbers. Raises DataError for those that are measured, not counted."""
    known = values[~np.isnan(values)]
    broken = known[(known != np.rint(known)) | (np.abs(known) >= EXACT)]
    if len(broken):
        raise unfit(
            config,
            f"column {name!r} (dataset.target) has continuous numbers, e.g. {float(broken[0])!r}",
            "classes: texts, whole numbers, or true and false",
            "give another column as dataset.target, or cut the numbers into ranges and write a column of these",
        )
    return pa.chunked_array([pa.array(values, from_pandas=True)])


def _in_order(name: str) -> tuple[float, str]:
    """Numbers by size, before texts."""
    return (float(name), name) if re.fullmatch(r"-?\d+", name) else (math.inf, name)


# ------------------------------------------------------------------------------------------------------------- columns


class Column(Protocol):
    """A column that a network sees, and how. `train`: the rows of the training part."""

    @property
    def name(self) -> str: ...
    @property
    def missing(self) -> Mask: ...
    def encoded(self, train: Indices) -> npt.NDArray[np.float32]: ...
    def features(self, train: Indices) -> Sequence[str]: ...
    def unseen(self, train: Indices) -> Mask: ...


@dataclass(frozen=True, eq=False)
class Numbers:
    """values: float64 [N], NaN where missing."""

    config: DatasetConfig
    name: str
    values: Floats

    @property
    def missing(self) -> Mask:
        return np.isnan(self.values)

    def encoded(self, train: Indices) -> npt.NDArray[np.float32]:
        """(x - mean) / standard deviation, [N, 1]; a missing value is the mean. Scaled first: no square overflows."""
        own = self.values[train]
        own = own[~np.isnan(own)]
        low, high = (float(own.min()), float(own.max())) if len(own) else (0.0, 0.0)
        if low == high:
            raise constant(self.config, self.name, repr(low) if len(own) else "missing")
        scaled = (self.values - (low / 2 + high / 2)) / (high / 2 - low / 2)
        known = scaled[train][~np.isnan(self.values[train])]
        mean = math.fsum(known.tolist()) / len(known)
        deviation = math.sqrt(math.fsum(np.square(known - mean).tolist()) / len(known))
        made = np.nan_to_num((scaled - mean) / deviation, nan=0.0, posinf=np.inf, neginf=-np.inf)
        with np.errstate(over="ignore"):
            rows: npt.NDArray[np.float32] = made.astype(np.float32)[:, None]
        if not np.isfinite(rows).all():
            raise self._far_away(~np.isfinite(rows[:, 0]))
        return rows

    def _far_away(self, broken: Mask) -> DataError:
        row = int(np.flatnonzero(broken)[0])
        return unfit(
            self.config,
            f"column {self.name!r} has {float(self.values[row])!r} in row {row + 1}, beyond all measure of the others",
            "numbers that standardised ones can hold",
            "correct the value",
        )

    def features(self, train: Indices) -> Sequence[str]:
        return [self.name]

    def unseen(self, train: Indices) -> Mask:
        return np.zeros(len(self.values), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Categories:
    """codes: int64 [N] into names, -1 where missing."""

    config: DatasetConfig
    name: str
    codes: npt.NDArray[np.int64]
    names: tuple[str, ...]

    @property
    def missing(self) -> Mask:
        return self.codes < 0

    def encoded(self, train: Indices) -> npt.NDArray[np.float32]:
        """A number for each category of the training part, [N, k]: 1 for a row's own.

        A missing value has the categories' shares, which is the mean of these numbers; an unseen category has none.
        """
        counts, present = self._counted(train)
        if len(present) < 2:
            raise constant(self.config, self.name, repr(self.names[present[0]]) if len(present) else "missing")
        rows: npt.NDArray[np.float32] = (self.codes[:, None] == present).astype(np.float32)
        rows[self.missing] = (counts[present] / counts.sum()).astype(np.float32)
        return rows

    def _counted(self, train: Indices) -> tuple[Indices, Indices]:
        """How often each category is in the training part, and which are."""
        own = self.codes[train]
        counts = np.bincount(own[own >= 0], minlength=len(self.names))
        return counts, np.flatnonzero(counts)

    def features(self, train: Indices) -> Sequence[str]:
        return [f"{self.name}={self.names[code]}" for code in self._counted(train)[1]]

    def unseen(self, train: Indices) -> Mask:
        counts, _ = self._counted(train)
        unseen: Mask = ~self.missing & (counts[np.maximum(self.codes, 0)] == 0)
        return unseen


def constant(config: DatasetConfig, name: str, value: str) -> DataError:
    """The error for a column that says nothing."""
    return unfit(
        config,
        f"column {name!r} is {value} in all rows of the training part",
        "columns that differ between rows",
        f"leave it out of the inputs with 'dataset.ignore=[{_quoted(name)}]'",
    )


def _quoted(name: str) -> str:
    """A column's name as a command line takes it in a list."""
    return name if re.fullmatch(r"\w+", name) else f'"{name}"'


def column_of(config: DatasetConfig, name: str, table: pa.Table) -> Column:
    column = table.column(name)
    kind = column.type
    if name in config.categories or _is_text(kind):
        return _categories(config, name, _texts(column), given=name in config.categories or _is_listed(kind))
    if _is_number(kind):
        return Numbers(config, name, _checked(config, name, _numbers(column), whole=pa.types.is_integer(kind)))
    raise _no_values(config, name, kind, "the inputs")


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in tests)


def _is_listed(kind: pa.DataType) -> bool:
    """Whether a file lists the column's categories itself."""
    return bool(pa.types.is_dictionary(kind))


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if _is_listed(kind) else kind
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _no_values(config: DatasetConfig, name: str, kind: pa.DataType, place: str) -> DataError:
    if pa.types.is_null(kind):
        return constant(config, name, "missing")
    remedy = f"take it out of the inputs with 'dataset.ignore=[{_quoted(name)}]'"
    if pa.types.is_temporal(kind):
        remedy += ", or write it as a number (a year, days since a day), or name it in dataset.categories"
    return unfit(
        config,
        f"column {name!r} of {place} holds {'dates or times' if pa.types.is_temporal(kind) else kind}",
        "numbers, true and false, or texts",
        remedy if place == "the inputs" else "give another column as dataset.target, or write classes there",
    )


def _numbers(column: pa.ChunkedArray) -> Floats:
    """float64 [N], NaN where missing."""
    values: Floats = pc.cast(column, pa.float64(), safe=False).to_numpy()
    return values


def _checked(config: DatasetConfig, name: str, values: Floats, *, whole: bool) -> Floats:
    """Raises DataError for numbers that are infinite, or too large to be told apart."""
    known = values[~np.isnan(values)]
    if not np.isfinite(known).all():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise unfit(
            config,
            f"column {name!r} has {float(values[row])!r} in row {row + 1}",
            "finite numbers",
            "correct the value, or leave it empty and give dataset.missing=mean or drop",
        )
    large = np.abs(known) >= EXACT
    if large.any() and (whole or (known == np.rint(known)).all()):
        raise unfit(
            config,
            f"column {name!r} has whole numbers beyond 2^53, e.g. {float(known[large][0])!r}",
            "whole numbers that a 64-bit float tells apart",
            f"a number that names a row is no input: 'dataset.ignore=[{_quoted(name)}]'; else divide it",
        )
    return values


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As texts without spaces around them; null where there is none."""
    texts = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    return pc.if_else(pc.is_in(texts, pa.array(MISSING)), pa.scalar(None, pa.string()), texts)


def _codes(encoded: pa.DictionaryArray) -> npt.NDArray[np.int64]:
    """int64 [N], -1 where missing."""
    codes: npt.NDArray[np.int64] = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _categories(config: DatasetConfig, name: str, texts: pa.ChunkedArray, *, given: bool) -> Categories:
    """given: that they are categories is said, by the file or by dataset.categories."""
    encoded = texts.combine_chunks().dictionary_encode()
    found = [str(one) for one in encoded.dictionary.to_pylist()]
    if not given:
        _check_texts(config, name, found, encoded)
    if len(found) > MOST_CATEGORIES:
        raise unfit(
            config,
            f"column {name!r} has {len(found):,} different texts: {', '.join(map(repr, found[:SHOWN]))}, ...",
            f"at most {MOST_CATEGORIES:,} categories in a column",
            f"names and identifiers are no inputs: 'dataset.ignore=[{_quoted(name)}]'; else join rare categories",
        )
    names = tuple(sorted(found, key=_in_order))
    number = {one: index for index, one in enumerate(names)}
    order = np.array([number[one] for one in found], dtype=np.int64)
    codes = _codes(encoded)
    return Categories(config, name, np.where(codes < 0, -1, order[codes]) if len(order) else codes, names)


def _check_texts(config: DatasetConfig, name: str, found: Sequence[str], encoded: pa.DictionaryArray) -> None:
    """Raises DataError for numbers with other texts between them, and for dates."""
    others = [one for one in found if not _reads_as_number(one)]
    if found and 2 * len(others) <= len(found):
        commas = [one for one in found if DECIMAL_COMMA.fullmatch(one)]
        kept = (commas or found)[0]
        text, what = (others[0], "numbers, and texts between them") if others else (kept, "numbers kept as texts")
        row = int(np.flatnonzero(_codes(encoded) == found.index(text))[0]) + 1
        correct = WITH_POINTS if text in commas else "correct or empty these values"
        raise unfit(
            config,
            f"column {name!r} has {what}: {text!r} in row {row}",
            "numbers alone, with decimal points, or categories",
            f"{correct}; where the column is of categories, give 'dataset.categories=[{_quoted(name)}]'",
        )
    if found and all(DATE.fullmatch(one) for one in found):
        raise _no_values(config, name, pa.date32(), "the inputs")


def _reads_as_number(text: str) -> bool:
    """Also with a decimal comma, as spreadsheets of many countries write it."""
    if DECIMAL_COMMA.fullmatch(text):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------------------------------------------------- attributes


def attribute(name: str, table: pa.Table) -> npt.NDArray[Any]:
    """A column for rules of forget sets: int64, float64 or text [N]; NaN or "" where missing.

    Whole numbers that neither int64 nor float64 tells apart are texts.
    """
    column = table.column(name)
    kind = column.type
    if pa.types.is_boolean(kind):
        column, kind = pc.cast(column, pa.int8()), pa.int8()
    if pa.types.is_integer(kind) and not column.null_count and not pa.types.is_uint64(kind):
        values: npt.NDArray[np.int64] = column.to_numpy().astype(np.int64)
        return values
    return _numbers(column) if _is_number(kind) and not _is_rounded(column) else _as_texts(name, column)


def _is_rounded(column: pa.ChunkedArray) -> bool:
    """Whether these are whole numbers that a float64 does not all tell apart."""
    whole = pa.types.is_integer(column.type) or (pa.types.is_decimal(column.type) and column.type.scale == 0)
    return whole and bool((np.abs(_numbers(column)) >= EXACT).any())


def _as_texts(name: str, column: pa.ChunkedArray) -> npt.NDArray[np.str_]:
    try:
        texts = _texts(column)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise DataError(
            f"column {name!r} can be neither an input nor an attribute",
            given=f"values of type {column.type}",
            allowed="numbers, true and false, texts, dates",
            remedy="take the column out of the file",
        ) from error
    longest = pc.max(pc.utf8_length(texts)).as_py() or 0
    if longest > LONGEST:
        raise DataError(
            f"column {name!r} has texts that are too long for an attribute",
            given=f"{longest:,} characters",
            allowed=f"at most {LONGEST:,}",
            remedy="shorten them, or take the column out of the file",
        )
    return np.array(texts.fill_null("").to_pylist(), dtype=np.str_)
