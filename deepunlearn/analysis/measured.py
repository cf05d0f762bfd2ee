"""Measures that have entries of their own in the store: read from there, and joined to the rows as further columns.

An entry tells what its columns mean, so that whoever reads it needs neither the measure's files nor this version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from deepunlearn.core.errors import StoreError
from deepunlearn.core.identity import KEY_LENGTH, canonical_json
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.paths import Results
from deepunlearn.core.store import DRAFT
from deepunlearn.core.validation import validate
from deepunlearn.metrics.catalogue import BUILT_IN, SCORED_TOGETHER, Catalogue
from deepunlearn.metrics.row import Labels, with_added

DTYPES = {"name": "string", "version": "int64", "description": "string"}  # a line per measure


class Entry(NamedTuple):
    """The values of one model, or of several together; `description` is the measure's, as JSON."""

    models: tuple[str, ...]
    name: str
    description: str
    values: dict[str, float | bool | None]
    date: str


def find(results: Path) -> list[Entry]:
    """All entries below `results` that count, with the newest words of their measure: `_values_of`.

    Raises StoreError naming a file that cannot be read.
    """
    store = Results(results).store
    paths = [*store.glob("*/*/measures/*/*/values.json"), *store.glob("*/*/groups/*/*/values.json")]
    entries = [_read(path) for path in sorted(paths) if DRAFT not in str(path)]
    newest = {
        one.name: one.description for one in sorted(entries, key=lambda one: (_version(one.description), one.date))
    }
    same = (one for one in entries if _values_of(one.description) == _values_of(newest[one.name]))
    return [one._replace(description=newest[one.name]) for one in same]


def describe(entries: Iterable[Entry]) -> pd.DataFrame:
    """The measures among `entries`, columns as in `DTYPES`; in the order of `_counting_last`."""
    newest_first = sorted(entries, key=lambda one: one.date, reverse=True)
    known = dict.fromkeys((one.name, one.description) for one in newest_first)
    lines = [{"name": name, "version": _version(text), "description": text} for name, text in reversed(known)]
    return _counting_last(pd.DataFrame(lines, columns=list(DTYPES)).astype(DTYPES))


def catalogue(measures: pd.DataFrame) -> Catalogue:
    """Ours and these, but for `left_out`, whose columns others have."""
    counting, others = _told_apart(measures["description"])
    made = with_added(counting)
    made.left_out = tuple(others)
    return made


def _told_apart(descriptions: Iterable[str]) -> tuple[list[Measure], list[Measure]]:
    """Measures of whose columns each has a name of its own, and the others: of two with one name the later counts."""
    taken = {*Labels.model_fields, *(one.name for one in BUILT_IN.columns)}
    counting, others = list[Measure](), list[Measure]()
    for text in reversed(list(descriptions)):
        measure = validate(Measure, json.loads(text), "a stored measure")
        names = {one.name for one in measure.columns}
        if names & taken:
            others.append(measure)
        else:
            counting.append(measure)
            taken |= names
    return counting[::-1], others[::-1]


def _counting_last(measures: pd.DataFrame) -> pd.DataFrame:
    """By name, behind those whose columns another has. Of these the later one counts, here and ever after."""
    counting, _ = _told_apart(measures["description"])
    counts = measures["name"].isin([one.name for one in counting])
    return measures.assign(counts=counts).sort_values(["counts", "name"], ignore_index=True)[list(DTYPES)]


def dtypes(measures: pd.DataFrame) -> dict[str, str]:
    """The columns that rows have beside those that all have."""
    return {one.name: "boolean" if one.type == "bool" else "float64" for one in catalogue(measures).added}


def join(frame: pd.DataFrame, entries: list[Entry], results: Path) -> pd.DataFrame:
    """`frame` with the values of `entries`; null where a model has none. Of groups with a model the largest counts."""
    if not entries:
        return frame
    known = describe(entries)
    counting = {one.name for one in catalogue(known).measures}
    values: dict[str, dict[str, Any]] = {}
    for one in sorted(entries, key=lambda one: (len(one.models), one.date if len(one.models) > 1 else "")):
        for model in one.models if one.name in counting else ():
            values.setdefault(model, {}).update(one.values)
    kinds = dtypes(known)
    models = [_model_of(row, Results(results).store) for row in frame.to_dict("records")]
    columns = pd.DataFrame([values.get(model, {}) for model in models], columns=list(kinds), index=frame.index)
    return frame.join(columns.astype(kinds))


def newest(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Of the measures of several results: one line per measure, that of the highest version; of equal ones the last."""
    joined = pd.concat(frames, ignore_index=True)
    kept = joined.sort_values("version", kind="stable").drop_duplicates("name", keep="last")
    return _counting_last(kept.sort_index())


def without_older(rows: pd.DataFrame, measures: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    """`rows`, whose measures are these, without the values of those of which `kept` has others, or none."""
    known = {_values_of(one.description) for one in catalogue(kept).measures}
    own = [one for one in catalogue(measures).measures if one.name not in SCORED_TOGETHER]
    older = [one for one in own if _values_of(one.description) not in known]
    return rows.drop(columns=[column.name for one in older for column in one.columns])


def _read(path: Path) -> Entry:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        key = json.loads(path.with_name("config.json").read_text(encoding="utf-8"))["key"]
        date = json.loads(path.with_name("meta.json").read_text(encoding="utf-8"))["date"]
        return Entry(_models(key), key["measure"], content["description"], content["values"], date)
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"{path} cannot be used",
            given=f"{type(error).__name__}: {error}"[:200],
            allowed="the values of a measure, as the sweep wrote them",
            remedy="move its folder out of the results and run the sweep again, which makes what is missing",
        ) from None


def _models(key: Mapping[str, Any]) -> tuple[str, ...]:
    """What a measure was taken of."""
    if "subjects" not in key:
        return (_model(key),)
    pairs = zip(key["subjects"], key["retrained"], strict=True)
    return tuple(_model({"subject": subject, "retrained": retrained}) for subject, retrained in pairs)


def _model(key: Mapping[str, Any]) -> str:
    """What a measure was taken of: a model, the retrained one that it is held against, and what else says which samples
    are forgotten, of a given original.
    """
    return canonical_json([key["subject"], key["retrained"], key.get("split")])


def _model_of(row: Mapping[Any, Any], store: Path) -> str:
    """The same of a row, from the metrics that it was made of; "" where they were not kept."""
    folder = f"{row['dataset']}/{row['arch']}/metrics/{row['method']}"
    path = store / folder / f"seed{row['seed']}-{str(row['metrics_key'])[:KEY_LENGTH]}" / "config.json"
    return _model(json.loads(path.read_text(encoding="utf-8"))["key"]) if path.is_file() else ""


@cache
def _values_of(description: str) -> tuple[Any, ...]:
    """What tells values that may stand in one column from others, whatever words describe them."""
    read = json.loads(description)
    columns = tuple((one["name"], one.get("type", "float")) for one in read["columns"])
    return (read["name"], read["version"], read.get("code"), columns)


def _version(description: str) -> int:
    return int(_values_of(description)[1])
