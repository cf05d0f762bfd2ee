"""Tables as a network sees them: columns of any kind become rows of numbers, float32 [N, D].

Numbers are standardised, categories get a number each (one-hot). Means, standard deviations, and which categories there
are come from the training part as it is read, which is retain, forget and val; the test part has no say. Like the mean
of images they are the same for all models of a data set: a retrained model must see the inputs that the original saw.
What they tell it of a forgotten row is its share in two numbers of a column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from deepunlearn.core.errors import ConfigError, DataError, unknown
from deepunlearn.core.samples import Indices
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.folders import TEST_SEED, held_out
from deepunlearn.data.images import RawData, RawPart, Remark
from deepunlearn.data.splits import stratified
from deepunlearn.data.table_columns import SHOWN, Classes, Column, Mask, attribute, column_of, unfit

ROW_NUMBERS = re.compile(r"__index_level_\d+__")  # what pandas calls the numbers of rows in a Parquet file


def table_data(config: DatasetConfig, table: pa.Table, target: str | None, test: Indices | None = None) -> RawData:
    """A table as training and test part.

    target: the column with the classes, where dataset.target does not say; test: the rows of the test part; None: a
    stratified share is cut off. Raises ConfigError (unknown columns), DataError (what cannot be told apart or learnt).
    """
    target = config.target or target
    names = _inputs(config, table.column_names, target)
    classes = Classes(config, str(target), table)
    columns = [column_of(config, name, table) for name in names]
    kept, remarks = _complete(config, classes, columns)
    parts = _parts(config, classes.labels, kept, test)
    train, own_test = parts
    features = tuple(name for column in columns for name in column.features(train))
    rows = _rows(columns, parts, len(features))
    unseen = np.intersect1d(own_test, np.flatnonzero(np.any([column.unseen(train) for column in columns], axis=0)))
    if len(unseen):
        remarks["unseen"] = row_names(unseen)
    attributes = _attributes(table, parts)
    made, own = (
        RawPart(classes.labels[numbers], rows[part], row_names(numbers), attributes[part])
        for part, numbers in enumerate(parts)
    )
    return RawData(made, own, classes.names, channels=None, remarks=remarks, features=features)


def row_names(rows: Indices) -> list[str]:
    """`row 1` is the first one below the names of the columns."""
    return [f"row {row + 1}" for row in rows.tolist()]


def _rows(columns: Sequence[Column], parts: tuple[Indices, Indices], features: int) -> list[npt.NDArray[np.float32]]:
    """float32 [N, D] of each part; filled column by column, as large tables are not twice in memory."""
    made = [np.empty((len(numbers), features), dtype=np.float32) for numbers in parts]
    start = 0
    for column in columns:
        block = column.encoded(parts[0])
        for rows, numbers in zip(made, parts, strict=True):
            rows[:, start : start + block.shape[1]] = block[numbers]
        start += block.shape[1]
    return made


def _attributes(table: pa.Table, parts: tuple[Indices, Indices]) -> list[dict[str, npt.NDArray[Any]]]:
    """All columns, of each part."""
    made: list[dict[str, npt.NDArray[Any]]] = [{} for _ in parts]
    for name in table.column_names:
        values = attribute(name, table)
        for columns, numbers in zip(made, parts, strict=True):
            columns[name] = values[numbers]
    return made


def _parts(
    config: DatasetConfig, labels: npt.NDArray[np.int64], kept: Indices, test: Indices | None
) -> tuple[Indices, Indices]:
    """The rows of training and test part."""
    if test is None:
        size = round(held_out(config) * len(kept))
        test = kept[stratified(labels[kept], size, np.random.RandomState(TEST_SEED), keep=1)]
    return np.setdiff1d(kept, test), np.intersect1d(kept, test)


# ------------------------------------------------------------------------------------------------- names of the columns


def _inputs(config: DatasetConfig, names: Sequence[str], target: str | None) -> list[str]:
    """The columns that a network sees. Raises ConfigError for names that are not there, DataError for unfit ones."""
    _check_names(config, names)
    if target is None:
        raise ConfigError(
            f"dataset {config.name}: which column has the classes is not said",
            given="dataset.target=null",
            allowed=_listed(names),
            remedy="give dataset.target=COLUMN",
        )
    for option, given in (("target", [target]), ("ignore", config.ignore), ("categories", config.categories)):
        for name in given:
            if name not in names:
                raise unknown(f"column in dataset.{option}", name, names)
    inputs = [name for name in names if name != target and name not in config.ignore]
    if inputs and target not in config.ignore:
        return inputs
    raise ConfigError(
        f"dataset {config.name} has no column to learn from, or none with the classes",
        given=f"columns {_listed(names)}; dataset.target={target}, dataset.ignore={list(config.ignore)}",
        allowed="a column of classes and at least one other",
        remedy="take columns out of dataset.ignore",
    )


def _check_names(config: DatasetConfig, names: Sequence[str]) -> None:
    unnamed = [
        f"column {number}"
        for number, name in enumerate(names, start=1)
        if not name.strip() or (ROW_NUMBERS.fullmatch(name) and name not in config.ignore)
    ]
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if unnamed:
        raise unfit(
            config,
            f"{', '.join(unnamed[:SHOWN])} without a name",
            "a name for each column, in the first line",
            "name it, or take it out: pandas writes no column of row numbers with to_csv(FILE, index=False) "
            "and to_parquet(FILE, index=False)",
        )
    if twice:
        raise unfit(
            config,
            f"two columns called {', '.join(map(repr, twice[:SHOWN]))}",
            "each name once, in the first line",
            "rename one of them; a file whose first line is data needs a line of names before it",
        )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:50])) + (f", ... ({len(names)} columns)" if len(names) > 50 else "")


# ------------------------------------------------------------------------------------------------------ missing values


def _complete(
    config: DatasetConfig, classes: Classes, columns: Sequence[Column]
) -> tuple[Indices, dict[Remark, list[str]]]:
    """The rows that take part, and what is said of the others. Raises DataError for values that may not be missing."""
    gaps = {column.name: column.missing for column in columns}
    incomplete = np.any([*gaps.values(), classes.missing], axis=0)
    rows = np.flatnonzero(incomplete)
    everything = np.arange(len(incomplete))
    if not len(rows):
        return everything, {}
    if config.missing == "drop" and len(rows) == len(incomplete):
        names = [name for name, mask in gaps.items() if mask.any()]
        raise unfit(
            config,
            f"every row lacks a value; missing values are in {_listed(names)}",
            "rows that are complete",
            "name columns with many missing values in dataset.ignore, or give dataset.missing=mean",
        )
    if config.missing == "drop":
        return np.flatnonzero(~incomplete), {"incomplete": row_names(rows)}
    if config.missing == "mean" and not classes.missing.any():
        return everything, {"filled": row_names(rows)}
    raise _missing(config, classes, gaps)


def _missing(config: DatasetConfig, classes: Classes, gaps: Mapping[str, Mask]) -> DataError:
    every = {**({} if config.missing == "mean" else gaps), classes.column: classes.missing}
    found = {name: np.flatnonzero(mask) for name, mask in every.items() if mask.any()}
    shown = [f"{name!r} in {len(rows):,} rows, first row {rows[0] + 1}" for name, rows in list(found.items())[:SHOWN]]
    remedy = "give dataset.missing=drop to leave such rows out"
    if not classes.missing.any():
        remedy += ", or dataset.missing=mean to fill in the mean of the training part"
    return unfit(
        config,
        f"missing values: {'; '.join(shown)}{'; ...' if len(found) > SHOWN else ''}",
        "a value in every column of every row",
        f"{remedy}, or correct the file",
    )
