"""`attributes.csv` beside the images of a folder: what else is known of each, a column for each thing."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepunlearn.core.errors import DataError
from deepunlearn.core.samples import EXACT, Column

if TYPE_CHECKING:
    import pandas as pd

NAME = "attributes.csv"
FILE = "file"  # the column with the images' paths
WHOLE = r"[-+]?\d+"
SHOWN = 5  # names in an error


def read_columns(root: Path, paths: Sequence[str]) -> dict[str, Column]:
    """The columns of `root`/attributes.csv in the order of `paths` (relative to `root`), `file` left out.

    Whole numbers, numbers or text; a missing value is NaN or "". Whole numbers with gaps between them are texts where
    a float64 would not tell them apart. Raises DataError where a line's file is not among `paths`, where one has two
    lines or none, and where the file cannot be read.
    """
    path = root / NAME
    table = _parsed(path)
    lines = [name.replace("\\", "/").removeprefix("./") for name in table[FILE]]
    _same(path, lines, paths)
    row = {name: number for number, name in enumerate(lines)}
    ordered = table.iloc[[row[name] for name in paths]]
    return {str(name): column_of(ordered[name]) for name in table.columns if name != FILE}


def _parsed(path: Path) -> pd.DataFrame:
    """All of the file; an empty cell is missing and nothing else is: NA can be a country."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
        if FILE not in names or len(set(names)) < len(names) or "" in names:
            raise _unfit(path, f"the columns {', '.join(names) or '(none)'}", f"names that differ, one of them {FILE}")
        table = _unrounded(path, _cells(path, {FILE: str}))
    except (OSError, ValueError, csv.Error) as error:  # of encodings, and pandas' own, too
        raise _unfit(path, f"{type(error).__name__}: {error}", "comma-separated values in UTF-8") from error
    return table.assign(**{FILE: table[FILE].fillna("")})


def _cells(path: Path, types: type[str] | dict[str, type[str]]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - only needed while decoding

    return pd.read_csv(path, encoding="utf-8-sig", keep_default_na=False, na_values=[""], dtype=types, index_col=False)


def _unrounded(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """With the file's texts in place of whole numbers that became floats, as some are missing, and were rounded."""
    rounded = [
        str(name) for name, values in table.items() if values.dtype.kind == "f" and (values.abs() >= EXACT).any()
    ]
    if not rounded:
        return table
    texts = _cells(path, str)
    return table.assign(**{name: texts[name] for name in rounded if texts[name].dropna().str.fullmatch(WHOLE).all()})


def _same(path: Path, lines: Sequence[str], paths: Sequence[str]) -> None:
    known, seen = set(paths), set(lines)
    if len(seen) < len(lines):
        counts = dict.fromkeys(lines, 0)
        for name in lines:
            counts[name] += 1
        raise _unfit(path, _some("named twice", [name for name in lines if counts[name] > 1]), "each image once")
    if strange := [name for name in lines if name not in known]:
        raise _unfit(path, _some("no image of the data set", strange), "paths as DIR has them, e.g. train/cat/1.jpg")
    if missing := [name for name in paths if name not in seen]:
        raise _unfit(path, _some("images without a line", missing), "a line for each image; cells may be empty")


def _some(what: str, names: Sequence[str]) -> str:
    different = list(dict.fromkeys(names))
    return f"{what}: {len(different):,} ({', '.join(different[:SHOWN])}{', ...' if len(different) > SHOWN else ''})"


def column_of(values: pd.Series) -> Column:
    """int64 where it holds all, float64 where all are numbers, else text; missing is NaN or an empty text."""
    kind = values.dtype.kind
    if kind in "bi" or (kind == "u" and values.max() <= np.iinfo(np.int64).max):
        return np.asarray(values, dtype=np.int64)
    if kind == "f":
        return np.asarray(values, dtype=np.float64)
    return np.asarray(values.fillna("").astype(str), dtype=np.str_)


def _unfit(path: Path, given: str, allowed: str) -> DataError:
    return DataError(
        f"{path} cannot be used",
        given=given,
        allowed=allowed,
        remedy=f"correct the file, or give it another name than {NAME} to have it left out",
    )
