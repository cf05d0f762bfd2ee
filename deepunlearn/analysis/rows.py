"""The rows of a results folder, gathered into one table. Each lies in the store as `row.json`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from weakref import ref

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from deepunlearn.core.errors import StoreError
from deepunlearn.core.paths import Results
from deepunlearn.core.store import DRAFT
from deepunlearn.forget.rounds import told
from deepunlearn.metrics.gaps import PARTS, gap, tug_of_war
from deepunlearn.metrics.row import DTYPES, MEANINGS, NAMES, Row

REFERENCES = ("original", "retrained")  # `method` of the rows that methods are read against
MODEL = ["cell", "result_set", "method", "seed"]  # identifies a model among the rows
KIND = ["protocol", "search", "space", "selection", "trials"]  # what results of different cells must have in common
T = TypeVar("T")
_ROW = TypeAdapter(Row)


def collect(results: Path) -> pd.DataFrame:
    """All rows below `results`, one line each, columns and dtypes as in `DTYPES`, sorted by `MODEL`, then date.

    Raises StoreError naming the file for a row with an impossible field, or without one that every row has.
    """
    folder = Results(results).store
    files = sorted(path for path in folder.glob("*/*/rows/*/*/row.json") if not path.parent.name.startswith(DRAFT))
    frame = pd.DataFrame([_read_row(path) for path in files], columns=list(NAMES))
    return with_derived(frame.astype(DTYPES)).sort_values([*MODEL, "date"], ignore_index=True)


def with_derived(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with `Disc_AUC`, `gap`, `ToW` and the forget set also where a row has only what they follow from.

    Earlier versions left them out, and forgot at random.
    """
    retrained = frame[frame["method"] == "retrained"].drop_duplicates(["cell", "seed"], keep="last")
    beside = frame[["cell", "seed"]].merge(retrained[["cell", "seed", *PARTS]], "left", ["cell", "seed"])
    sides = frame[[*PARTS]].to_numpy(float), beside[[*PARTS]].to_numpy(float)
    derived = {"Disc_AUC": (2 * frame["MIA_AUC"] - 1).abs(), "gap": gap(*sides), "ToW": tug_of_war(*sides)}
    titles = frame["forget_ratio"].map(lambda ratio: f"random {100 * ratio:g} %").astype("string")
    known = {name: frame[name].fillna(pd.Series(new, frame.index)) for name, new in derived.items()}
    kinds = frame["forget_kind"].fillna("random")
    return frame.assign(**known, forget_kind=kinds, forget_title=frame["forget_title"].fillna(titles))


def with_values(frame: pd.DataFrame) -> list[str]:
    """The columns in which some row has a value."""
    return [str(name) for name in frame if frame[name].notna().any()]


def remembered(make: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """`make`, a function of frames alone, which makes a copy of what it has made of the same frames before.

    The tables of a page ask for the same rows some twenty times. Frames are never changed here, but made anew.
    """
    kept: list[tuple[tuple[ref[pd.DataFrame], ...], pd.DataFrame]] = []

    @wraps(make)
    def made(*frames: pd.DataFrame) -> pd.DataFrame:
        kept[:] = [one for one in kept if all(known() is not None for known in one[0])]
        for known, result in kept:
            if all(one() is frame for one, frame in zip(known, frames, strict=True)):
                return result.copy()
        result = make(*frames)
        kept.append((tuple(ref(frame) for frame in frames), result))
        return result.copy()

    return made


@remembered
def current(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that count, with an empty `result_set` for references: at most one for each `MODEL`.

    A method whose version, hyper-parameters or scores' version changed within a result set counts with those of its
    latest row only, on all seeds, so that no mean mixes them; of a model evaluated twice the later row counts. Newer
    scores are later, whenever the model was made.
    """
    rows = frame.assign(result_set=frame["result_set"].fillna(""), scored_by=scored_by(frame))
    rows = rows.sort_values(["scored_by", "date"], kind="stable")
    versions = [rows[name].astype("string").fillna("") for name in ("scored_by", "method_version", "params")]
    variant = versions[0] + " " + versions[1] + " " + versions[2]
    newest = variant.groupby([rows[name] for name in MODEL[:3]]).transform("last")
    kept = rows[variant == newest].drop(columns="scored_by")
    return kept.drop_duplicates(MODEL, keep="last").sort_values(MODEL, ignore_index=True)


def of_round(frame: pd.DataFrame, cases: pd.DataFrame, round: int | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows, and `coverage.outcomes`, without all but one round of requests that arrive one after the other.

    round: None for the last one of each sequence; a sequence without this round is left out whole. What is of no
    sequence stays. Rounds are cells of their own, but not cells that one may rank or average over: `rounds` puts them
    in order.
    """
    places = _rounds_told(cases) | _rounds_stored(frame)
    others = {cell for cell, (own, rounds) in places.items() if own != (rounds if round is None else round)}
    return (
        frame[~frame["cell"].isin(others)].reset_index(drop=True),
        cases[~cases["cell"].isin(others)].reset_index(drop=True),
    )


def _rounds_stored(frame: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Cell -> its round and how many there are, of cells in a sequence."""
    own = frame.dropna(subset=["round", "rounds"])
    pairs = zip(own["round"].astype(int), own["rounds"].astype(int), strict=True)
    return dict(zip(own["cell"].tolist(), pairs, strict=True))


def _rounds_told(cases: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """The same by the titles of forget sets: of cells without a row nothing else is known."""
    titles = dict(zip(cases["cell"].tolist(), cases["forget"].fillna("").tolist(), strict=True))
    return {cell: parts[1:] for cell, title in titles.items() if (parts := told(title)) is not None}


def scored_by(frame: pd.DataFrame) -> pd.Series[int]:
    """The version of the scores of each row."""
    return frame["metrics_version"].fillna(1).astype("int64")


def read_json(path: Path, adapter: TypeAdapter[T]) -> T:
    """The checked content of a file. Raises StoreError naming the file and the first wrong field."""
    try:
        return adapter.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(field) for field in first["loc"])
        raise StoreError(
            f"{path} cannot be used" + (f": field {name!r}" if name else ""),
            given="nothing" if first["type"] == "missing" else repr(first["input"])[:200],
            allowed=_allowed(name, first["msg"]),
            remedy="move its folder out of the results and run the sweep again, which makes what is missing",
        ) from None


def _allowed(name: str, message: str) -> str:
    return f"{message} ({MEANINGS[name]})" if name in MEANINGS else message


def _read_row(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = vars(read_json(path, _ROW))
    if (row["result_set"] is None) != (row["method"] in REFERENCES):
        raise StoreError(
            f"{path} cannot be used: field 'result_set'",
            given=f"{row['result_set']!r} for method {row['method']!r}",
            allowed=f"null for {' and '.join(REFERENCES)}, an id for every method",
            remedy="move its folder out of the results and run the sweep again, which makes what is missing",
        )
    return row
