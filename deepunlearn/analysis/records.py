"""Everything the tables and the page are made of, gathered from a results folder into a few small files.

The files (`<results>/records/*.parquet`) can be copied, kept and joined without the store that they came from.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, TypeAdapter

from deepunlearn.analysis import measured, rows, ulira_results, verdict_results
from deepunlearn.analysis.coverage import (
    CASES,
    OUTCOMES,
    counted_once,
    failure_notes,
    held_against,
    outcomes,
    standing_failures,
)
from deepunlearn.analysis.rows import MODEL, read_json
from deepunlearn.core.errors import ConfigError, StoreError
from deepunlearn.core.identity import KEY_LENGTH, canonical_json
from deepunlearn.core.paths import Results, sync_folder
from deepunlearn.core.store import DRAFT, TRIALS, FailureNote
from deepunlearn.metrics.catalogue import Catalogue
from deepunlearn.metrics.row import DTYPES as ROW
from deepunlearn.metrics.row import NULLABLE

FOLDER = "records"
ADDED_LATER = ("measures", "verdicts")  # tables that earlier versions did not write
LOSS_PARTS = ("retain", "forget", "val", "test")
COMPONENTS = ("retain", "forget", "val", "mia")  # the four losses of a trial
FIDELITY = ("epoch", "epochs", "samples", "sum")  # what a trial was last scored by
MAY_BE_MISSING = {
    "rows": NULLABLE,
    "cases": ("forget",),
    "failures": ("hparams",),
    "trials": ("ranges", *FIDELITY),
    "attacks": ("attack_version",),
}  # columns that earlier versions did not write
DTYPES: Mapping[str, Mapping[str, str]] = {
    "rows": ROW,
    "cases": CASES,
    "failures": {name: "Int64" if name == "seed" else "string" for name in FailureNote.__dataclass_fields__},
    "trials": {
        **dict.fromkeys(("cell", "result_set", "method"), "string"),
        **dict.fromkeys(("seed", "slot"), "int64"),
        **dict.fromkeys(("state", "reason", "params"), "string"),
        **dict.fromkeys((*COMPONENTS, "seconds"), "float64"),
        "ranges": "string",
        **dict.fromkeys(FIDELITY, "float64"),
    },
    "attacks": ulira_results.DTYPES,
    "verdicts": verdict_results.DTYPES,
    "losses": {"metrics_key": "string", **dict.fromkeys(LOSS_PARTS, "object")},
    "measures": measured.DTYPES,
}


@dataclass(frozen=True)
class Records:
    """rows: as `rows.collect`, and the columns of `measures`; cases: as `coverage.outcomes`.

    failures: the fields of `store.FailureNote`. trials: one line per finished trial of the searches that rows rest on
    or that found nothing (cell, result_set, method; seed: the search seed; slot; state COMPLETE, PRUNED or FAIL;
    reason; the four losses; seconds; params as JSON; the searched ranges as JSON; what it was last scored by: epoch,
    epochs, samples of all parts and the sum of its losses; ranges and these null in records of earlier versions, and
    ranges of searches that found nothing). losses: per metrics_key of a row the counts of
    `metrics.histograms.LOSS_EDGES` on each part, lists of whole numbers. attacks: one line per
    design, method, question and variant of U-LiRA, columns as `ulira_results.DTYPES`; verdicts: those on the same
    models, columns as `verdict_results.DTYPES`. measures: those that have entries of their own, columns as
    `measured.DTYPES`. round: of requests one after the other, which one counts where rounds are not told apart; None
    for the last of each sequence. It is no table, and is not kept.
    """

    rows: pd.DataFrame
    cases: pd.DataFrame
    failures: pd.DataFrame
    trials: pd.DataFrame
    losses: pd.DataFrame
    attacks: pd.DataFrame
    verdicts: pd.DataFrame
    measures: pd.DataFrame
    round: int | None = None

    @cached_property
    def catalogue(self) -> Catalogue:
        """Every measure that the rows have columns of; shown are columns in which some row has a value."""
        return measured.catalogue(self.measures).of_values(rows.with_values(self.rows))

    @cached_property
    def counted(self) -> Records:
        """The same of one `round` of requests one after the other alone: what is ranked and summed up."""
        frame, cases = rows.of_round(self.rows, self.cases, self.round)
        return replace(self, rows=frame, cases=cases)

    def write(self, results: Path) -> None:
        """Write each table below `results`; readers see the old file or the new one, never a part."""
        folder = results / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for name in DTYPES:
            path = folder / f"{name}.parquet"
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                getattr(self, name).to_parquet(draft, index=False)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
        sync_folder(folder)


def collect(results: Path) -> Records:
    """What lies in the store and the runs of `results`. Raises StoreError naming a file that cannot be read.

    Losses of models that were scored before they were kept, and searches that no row rests on, are left out.
    """
    added = measured.find(results)
    labels_of = measured.join(rows.collect(results), added, results)
    frame, cases = counted_once(labels_of, outcomes(labels_of, results))
    return Records(
        rows=frame,
        cases=cases,
        failures=_table("failures", [vars(note) for note in failure_notes(results)]),
        trials=_table("trials", [*_trials(results, set(frame["result_set"])), *_trials_in_vain(results)]),
        losses=_table("losses", list(_losses(frame, results))),
        attacks=attack_table(ulira_results.collect(results)),
        verdicts=verdict_table(verdict_results.collect(results)),
        measures=measured.describe(added),
    )


def read(folders: Sequence[Path]) -> Records:
    """The records that `Records.write` left in each of `folders`, joined; a model that several have counts once.

    Raises ConfigError for a folder without them, StoreError for files of another version.
    """
    return _joined([_read_folder(folder) for folder in folders])


def gather(folders: Sequence[Path]) -> Records:
    """As `read`, of folders some of which have a store: of these what lies there, whether records were written or not.

    Raises ConfigError for a folder with neither, StoreError for a file that cannot be read.
    """
    return _joined([_tables(collect(one)) if Results(one).store.is_dir() else _read_folder(one) for one in folders])


def _tables(records: Records) -> dict[str, pd.DataFrame]:
    return {name: getattr(records, name) for name in DTYPES}


def _joined(read_tables: Sequence[dict[str, pd.DataFrame]]) -> Records:
    kept = measured.newest([one["measures"] for one in read_tables])
    for one in read_tables:
        one["rows"] = measured.without_older(one["rows"], one["measures"], kept)
    joined = {name: pd.concat([one[name] for one in read_tables], ignore_index=True) for name in DTYPES}
    joined["measures"] = kept
    joined["losses"] = joined["losses"].drop_duplicates("metrics_key", ignore_index=True)
    for name in ("failures", "trials", "attacks", "verdicts"):
        joined[name] = joined[name].drop_duplicates(ignore_index=True)
    joined["rows"] = _joined_rows(joined["rows"]).astype(measured.dtypes(kept))
    joined["cases"] = held_against(joined["rows"], _joined_cases(joined["cases"]))
    return Records(**joined, round=None)


def _joined_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """A row that several folders have once, with what any of them has of measures that were computed later."""
    own, added = list(ROW), [name for name in frame if name not in ROW]
    once = frame.drop_duplicates(own, ignore_index=True)
    if added and len(once) < len(frame):
        once = once[own].join(frame.groupby(own, dropna=False, sort=False)[added].first().reset_index(drop=True))
    return once.sort_values([*MODEL, "date"], ignore_index=True)


def _joined_cases(cases: pd.DataFrame) -> pd.DataFrame:
    """Of a model that several folders tell of, what tells most: one that was found before one that failed."""
    position = cases["outcome"].map({name: position for position, name in enumerate(OUTCOMES)})
    order = position.sort_values(kind="stable").index
    return cases.loc[order].drop_duplicates(MODEL)


def _read_folder(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables that are kept there; of those that earlier versions did not write empty ones."""
    added = {name: _read_added(folder, name) for name in ADDED_LATER}
    kept = {name: dtypes for name, dtypes in DTYPES.items() if name not in ADDED_LATER}
    own = {**kept, "rows": {**ROW, **measured.dtypes(added["measures"])}}
    return {**{name: _read_file(folder, name, dtypes) for name, dtypes in own.items()}, **added}


def _read_added(folder: Path, name: str) -> pd.DataFrame:
    if (folder / FOLDER / f"{name}.parquet").is_file():
        return _read_file(folder, name, DTYPES[name])
    return _table(name, [])


def _read_file(folder: Path, name: str, dtypes: Mapping[str, str]) -> pd.DataFrame:
    path = folder / FOLDER / f"{name}.parquet"
    if not path.is_file():
        raise ConfigError(
            f"{folder} has no records",
            given=f"no file {path}",
            allowed="folders in which `tables` or `report` has written records/",
            remedy=f"make them where the store is: python -m deepunlearn.tables results={folder}",
        )
    try:
        frame = pd.read_parquet(path)
        added = [column for column in MAY_BE_MISSING.get(name, ()) if column not in frame]
        typed = frame.assign(**dict.fromkeys(added))[list(dtypes)].astype(dict(dtypes))
        return rows.with_derived(typed) if name == "rows" else typed
    except (KeyError, ValueError, OSError) as error:
        raise StoreError(
            f"{path} cannot be used",
            given=str(error)[:200],
            allowed=f"the columns {', '.join(dtypes)}",
            remedy="make the records again with this version, where the store is",
        ) from error


def attack_table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """`Records.attacks` of what `ulira_results.collect` found."""
    return _table("attacks", lines)


def verdict_table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """`Records.verdicts` of what `verdict_results.collect` found."""
    return _table("verdicts", lines)


def _table(name: str, lines: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(lines, columns=list(DTYPES[name]))
    return frame.astype(dict(DTYPES[name])).sort_values(
        [column for column, dtype in DTYPES[name].items() if dtype != "object"], ignore_index=True
    )


# ------------------------------------------------------------------------------------------------------------- trials


class _Labels(BaseModel):
    """What tells whose search it was, among the fields of a row."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)
    cell: str
    result_set: str | None
    method: str


_LABELS = TypeAdapter(_Labels)


def _trials(results: Path, result_sets: set[str]) -> Iterator[dict[str, Any]]:
    """Every trial of the searches that rows of these tables rest on."""
    store = Results(results).store
    for folder, labels, ranges in _searches(store):
        path = store / folder / TRIALS
        if labels.result_set in result_sets and path.is_file():
            yield from ({**vars(labels), "ranges": ranges, **line} for line in _trial_lines(path))


def _trials_in_vain(results: Path) -> Iterator[dict[str, Any]]:
    """Every trial of the searches that found nothing, and so have no rows; earlier versions did not keep them."""
    for path, note in standing_failures(results):
        trials = path.with_name(TRIALS)
        if note.kind == "search_failed" and trials.is_file():
            labels = {"cell": note.cell, "result_set": note.result_set, "method": note.method, "ranges": None}
            yield from ({**labels, **line} for line in _trial_lines(trials))


def _trial_lines(path: Path) -> list[dict[str, Any]]:
    trials = pd.read_csv(path, dtype={"params": "string", "reason": "string"})
    return [{str(name): value for name, value in line.items()} for line in trials.to_dict("records")]


def _searches(store: Path) -> list[tuple[str, _Labels, str]]:
    """Folder of each search in the store, with the labels of each table with rows that rest on it, and its ranges.

    The labels are cell, result_set and method; the ranges are JSON.
    """
    labels_of = set()
    for path in store.glob("*/*/rows/*/*/row.json"):
        if path.parent.name.startswith(DRAFT):
            continue
        chosen = _row_key(path.with_name("config.json")).get("search")
        if chosen is None or "trials" not in chosen:
            continue  # a reference, or hyper-parameters that were given
        short = hashlib.sha256(canonical_json(["search", chosen]).encode()).hexdigest()[:KEY_LENGTH]
        dataset, arch, _, method = path.relative_to(store).parts[:4]
        ranges = json.dumps(chosen["studies"][0]["ranges"])
        labels_of.add((f"{dataset}/{arch}/search/{method}/{short}", read_json(path, _LABELS), ranges))
    return sorted(labels_of, key=str)


def _row_key(path: Path) -> dict[str, Any]:
    key: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["key"] if path.is_file() else {}
    return key


# ------------------------------------------------------------------------------------------------------------- losses

_COUNTS: TypeAdapter[dict[str, list[int]]] = TypeAdapter(dict[str, list[int]])


def _losses(frame: pd.DataFrame, results: Path) -> Iterator[dict[str, Any]]:
    """The histograms beside the metrics of each row, where they are kept."""
    store = Results(results).store
    for row in rows.current(frame).itertuples():
        key = str(row.metrics_key)
        path = store / f"{row.dataset}/{row.arch}/metrics/{row.method}/seed{row.seed}-{key[:KEY_LENGTH]}/losses.json"
        if path.is_file():
            counts = read_json(path, _COUNTS)
            yield {"metrics_key": key, **counts}


assert {field.name for field in fields(Records)} == {*DTYPES, "round"}
