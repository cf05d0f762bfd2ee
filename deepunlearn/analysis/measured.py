"""Measures that have entries of their own in the store: read from there, and joined to the rows as further columns.

An entry tells what its columns mean, so that whoever reads it needs neither the measure's files nor this version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from deepunlearn.core.errors import StoreError
from deepunlearn.core.identity import KEY_LENGTH, canonical_json
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.paths import Results
from deepunlearn.core.store import DRAFT
from deepunlearn.core.validation import validate
from deepunlearn.metrics.catalogue import Catalogue
from deepunlearn.metrics.row import with_added

DTYPES = {"name": "string", "version": "int64", "description": "string"}  # a line per measure


class Entry(NamedTuple):
    """The values of one model, or of several together; `description` is the measure's, as JSON."""

    models: tuple[str, ...]
    name: str
    description: str
    values: dict[str, float | bool | None]
    date: str


def find(results: Path) -> list[Entry]:
    """All entries below `results` that count: of a measure those of its newest version and code only.

    Raises StoreError naming a file that cannot be read.
    """
    store = Results(results).store
    paths = [*store.glob("*/*/measures/*/*/values.json"), *store.glob("*/*/groups/*/*/values.json")]
    entries = [_read(path) for path in sorted(paths) if DRAFT not in str(path)]
    newest = {
        one.name: one.description for one in sorted(entries, key=lambda one: (_version(one.description), one.date))
    }
    return [one for one in entries if one.description == newest[one.name]]


def describe(entries: Iterable[Entry]) -> pd.DataFrame:
    """The measures among `entries`, columns as in `DTYPES`."""
    known = {one.name: one.description for one in entries}
    lines = [{"name": name, "version": _version(text), "description": text} for name, text in sorted(known.items())]
    return pd.DataFrame(lines, columns=list(DTYPES)).astype(DTYPES)


def catalogue(measures: pd.DataFrame) -> Catalogue:
    """Ours and these."""
    read = [validate(Measure, json.loads(text), "a stored measure") for text in measures["description"]]
    return with_added(read)


def dtypes(measures: pd.DataFrame) -> dict[str, str]:
    """The columns that rows have beside those that all have."""
    return {one.name: "boolean" if one.type == "bool" else "float64" for one in catalogue(measures).added}


def join(frame: pd.DataFrame, entries: list[Entry], results: Path) -> pd.DataFrame:
    """`frame` with the values of `entries`; null where a model has none. Of groups with a model the largest counts."""
    if not entries:
        return frame
    values: dict[str, dict[str, Any]] = {}
    for one in sorted(entries, key=lambda one: (len(one.models), one.date if len(one.models) > 1 else "")):
        for model in one.models:
            values.setdefault(model, {}).update(one.values)
    kinds = dtypes(describe(entries))
    models = [_model_of(row, Results(results).store) for row in frame.to_dict("records")]
    columns = pd.DataFrame([values.get(model, {}) for model in models], columns=list(kinds), index=frame.index)
    return frame.join(columns.astype(kinds))


def newest(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Of the measures of several results: one line per measure, that of the highest version."""
    joined = pd.concat(frames, ignore_index=True).sort_values(["name", "version"], kind="stable")
    return joined.drop_duplicates("name", keep="last").reset_index(drop=True)


def without_older(rows: pd.DataFrame, measures: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    """`rows`, whose measures are these, without the values of those that `kept` has another version of."""
    older = measures[~measures["description"].isin(kept["description"])]
    return rows.drop(columns=list(dtypes(older)))


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
    """What a measure was taken of: a model, and the retrained one that it is held against."""
    return canonical_json([key["subject"], key["retrained"]])


def _model_of(row: Mapping[Any, Any], store: Path) -> str:
    """The same of a row, from the metrics that it was made of; "" where they were not kept."""
    folder = f"{row['dataset']}/{row['arch']}/metrics/{row['method']}"
    path = store / folder / f"seed{row['seed']}-{str(row['metrics_key'])[:KEY_LENGTH]}" / "config.json"
    return _model(json.loads(path.read_text(encoding="utf-8"))["key"]) if path.is_file() else ""


def _version(description: str) -> int:
    return int(json.loads(description)["version"])
