"""Files of tables: CSV, Parquet, ARFF, read once; nothing in them is ever executed, as a pickle would be."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from deepunlearn.core.errors import ConfigError, DataError
from deepunlearn.core.schema import DatasetConfig

ENCODING = 1  # bump when the same table would become other rows
ENDINGS = (".csv", ".tsv", ".parquet", ".arff")
SEPARATORS = (",", ";", "\t")  # the one that is most often in the first line
MEANING = {  # of texts in CSV files
    "null_values": ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "#N/A"),
    "true_values": ("true", "True", "TRUE"),
    "false_values": ("false", "False", "FALSE"),
}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
ATTRIBUTE = re.compile(r"""(?im)^\s*@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+)\s+(.*?)\s*$""")
LISTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,]+""")  # categories of an attribute
ARFF_NUMBERS = ("numeric", "real", "integer")
GIVEN = "a file with a line for each row and the names of the columns in the first: .csv, .tsv; or .parquet, .arff"


def facts(config: DatasetConfig) -> tuple[str, ...]:
    """What decides beside the file which rows are read from it."""
    chosen = {name: getattr(config, name) for name in ("target", "missing", "categories", "ignore")}
    return (f"encoding={ENCODING}", *(f"{name}={value}" for name, value in chosen.items()))


def check_ending(path: Path) -> None:
    """Raises ConfigError for a file of a kind that is not read."""
    if path.suffix.lower() in ENDINGS:
        return
    why = "; a pickle or an .npy file may hold code" if path.suffix in (".pkl", ".pickle", ".npy", ".npz") else ""
    raise ConfigError(
        f"{path.name} is no table that can be read",
        given=f"{path}{why}",
        allowed=GIVEN,
        remedy="write it as one of these, e.g. pandas' frame.to_csv(FILE, index=False)",
    )


def read_table(path: Path) -> Any:
    """A pyarrow.Table of the file. Raises DataError, naming the file, where it cannot be read."""
    readers: dict[str, Callable[[Path], Any]] = {".parquet": _parquet, ".arff": _arff}
    table = readers.get(path.suffix.lower(), _csv)(path)
    if not table.num_rows or not table.num_columns:
        raise unreadable(path, f"{table.num_rows} rows, {table.num_columns} columns", "check that the file is complete")
    return table


def unreadable(path: Path, given: str, remedy: str) -> DataError:
    """The error for a file that is no table, or a damaged one."""
    return DataError(f"the table {path} cannot be read", given=given[:300], allowed=GIVEN, remedy=remedy)


def _pyarrow() -> Any:
    try:
        import pyarrow  # noqa: PLC0415 - half a second, and only needed while decoding
    except ImportError as error:
        raise ConfigError(
            "tables need pyarrow, which is not installed",
            given=str(error),
            allowed="pyarrow 16 or newer",
            remedy="pip install pyarrow",
        ) from error
    return pyarrow


# ----------------------------------------------------------------------------------------------------------------- CSV


def _csv(path: Path) -> Any:
    pyarrow = _pyarrow()
    from pyarrow import csv  # noqa: PLC0415

    separator = _separator(path)
    try:
        table = csv.read_csv(
            path,
            parse_options=csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                **{kind: _spaced(texts) for kind, texts in MEANING.items()}, strings_can_be_null=True
            ),
        )
        names = [name.strip() for name in table.column_names]
    except pyarrow.ArrowInvalid as error:
        raise unreadable(
            path, str(error), "correct the line that is named: each has a value for every column"
        ) from error
    except UnicodeDecodeError as error:
        raise _not_utf8(path, "the names of the columns") from error
    for field in table.schema:
        if pyarrow.types.is_binary(field.type):
            raise _not_utf8(path, f"column {field.name!r}")
    _check_header(path, names)
    return table.rename_columns(names)


def _spaced(texts: Sequence[str]) -> list[str]:
    """With the space that some files have behind a comma; pyarrow strips it from numbers alone."""
    return [text for one in texts for text in (one, f" {one}")]


def _separator(path: Path) -> str:
    """What stands between two values, by the first line."""
    try:
        with path.open("rb") as file:
            first = file.readline()
    except OSError as error:
        raise unreadable(path, f"{type(error).__name__}: {error}", "check that it may be read") from error
    if not first.strip():
        raise unreadable(path, "an empty file, or an empty first line", "give a file with the names in its first line")
    return max(SEPARATORS, key=lambda one: first.count(one.encode()))


def _check_header(path: Path, names: Sequence[str]) -> None:
    numbers = [name for name in names if NUMBER.fullmatch(name)]
    if numbers:
        raise unreadable(
            path,
            f"the first line, which names the columns, has the numbers {', '.join(numbers[:3])}",
            "put a line with names before the data; where these are names, begin them with a letter",
        )


def _not_utf8(path: Path, where: str) -> DataError:
    return unreadable(path, f"{where}: bytes that are not UTF-8", "convert it: iconv -f LATIN1 -t UTF-8 FILE > NEW")


# ------------------------------------------------------------------------------------------------------ Parquet, ARFF


def _parquet(path: Path) -> Any:
    pyarrow = _pyarrow()
    from pyarrow import parquet  # noqa: PLC0415

    try:
        return parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise unreadable(path, f"{type(error).__name__}: {error}", "restore the file from its source") from error


def _arff(path: Path) -> Any:
    """The header is read here, the rows as those of a CSV file.

    scipy's reader refuses a file whose first quoted value stands behind the first row: it guesses the quotes from that.
    """
    pyarrow = _pyarrow()
    from pyarrow import csv  # noqa: PLC0415

    kinds, body = _arff_parts(path)
    types = {name: pyarrow.float64() if kind in ARFF_NUMBERS else pyarrow.string() for name, kind in kinds.items()}
    quote = '"' if b'"' in body and b"'" not in body else "'"
    try:
        table = csv.read_csv(
            BytesIO(body),
            read_options=csv.ReadOptions(column_names=list(kinds)),
            parse_options=csv.ParseOptions(quote_char=quote, escape_char="\\"),
            convert_options=csv.ConvertOptions(
                null_values=["?", " ?"],
                strings_can_be_null=True,
                column_types={name: kind for name, kind in types.items() if not kinds[name].startswith("date")},
            ),
        )
    except pyarrow.ArrowInvalid as error:
        raise unreadable(
            path, str(error), "correct the line that is named: each has a value for every attribute"
        ) from error
    for name, kind in kinds.items():
        if kind.startswith("{"):
            column = _nominal(path, name, kind, table.column(name))
            table = table.set_column(table.column_names.index(name), name, column)
    return table


def _arff_parts(path: Path) -> tuple[dict[str, str], bytes]:
    """Attributes with their kinds, numbers and categories, and the lines of data without comments."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, f"byte {error.start}") from error
    except OSError as error:
        raise unreadable(path, f"{type(error).__name__}: {error}", "check that it may be read") from error
    head, *body = re.split(r"(?im)^\s*@data\s*$\n?", text, maxsplit=1)
    found = ATTRIBUTE.findall(head)
    names = [_unquoted(name) for name, _ in found]
    if not body or not found:
        raise unreadable(path, "no line @data, or none with @attribute", "give a whole ARFF file, or write it as CSV")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise unreadable(path, f"two attributes called {twice!r}", "rename one of them")
    lines = re.sub(r"(?m)^[ \t]*(%.*)?\n", "", body[0] + "\n")
    if lines.startswith("{"):
        raise unreadable(
            path,
            f"sparse rows: {lines.splitlines()[0][:60]}",
            "write it dense, e.g. with Weka's SparseToNonSparse, or as CSV",
        )
    kinds = {name: kind if kind.startswith("{") else kind.lower() for name, (_, kind) in zip(names, found, strict=True)}
    return kinds, re.sub(r",[ \t]+(?=['\"])", ",", lines).encode()


def _unquoted(text: str) -> str:
    """A name or a category without its quotes and escapes."""
    text = text.strip()
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _nominal(path: Path, name: str, kind: str, column: Any) -> Any:
    """A column of the categories that the header lists. Raises DataError for others."""
    pyarrow = _pyarrow()
    import pyarrow.compute as pc  # noqa: PLC0415

    listed = [_unquoted(one) for one in LISTED.findall(kind[1 : kind.rindex("}")])]
    texts = pc.utf8_trim_whitespace(column)
    other = pc.and_(pc.is_valid(texts), pc.invert(pc.is_in(texts, pyarrow.array(listed, pyarrow.string()))))
    if pc.any(other).as_py():
        row = pc.index(other, True).as_py()
        raise unreadable(
            path,
            f"attribute {name!r} is {texts[row].as_py()!r} in row {row + 1}",
            f"add it to the categories of the attribute, which are {', '.join(listed[:10])}, or correct the row",
        )
    return texts.dictionary_encode()
