"""What was asked for and what came of it: the first table of every analysis."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter

from deepunlearn.analysis.rows import MODEL, current, read_json, scored_by
from deepunlearn.core.errors import ConfigError, MeasureFailed
from deepunlearn.core.infrastructure import rule_of_note
from deepunlearn.core.paths import Results
from deepunlearn.core.store import FailureNote

OUTCOMES = ("found", "failed", "skipped", "not_reached", "not_applicable", "not_run", "missing")
HOLES = ("not_run", "missing")  # what says nothing of the method: tables refuse, and it never makes an F
GROUP = ["cell", "result_set", "method"]
SAME_MODEL = ["method", "seed", "date", "seconds", "params", "protocol", "search", "space", "selection", "trials"]
SEARCH_STAGES = ("search", "select")  # without them no report seed can be evaluated; their own seeds are search seeds
NAMED_HOLES = 10
RESCORED = "its scores are of an older version; the sweep's command makes them anew from what is stored"
REPLACED = (
    "other seeds have later rows of other hyper-parameters or another version; make all seeds in one results folder"
)

Id = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]


class Expected(BaseModel):
    """A row that a sweep run asked for; `result_set` is null for references."""

    model_config = ConfigDict(extra="forbid", strict=True)

    result_set: Id | None
    cell: Id
    dataset: str
    arch: str
    method: str
    seed: int
    forget: str | None = None  # title of the forget set; null in files of earlier versions


CASES = {  # column of `outcomes` -> dtype
    **dict.fromkeys(("cell", "result_set", "method"), "string"),
    "seed": "int64",
    **dict.fromkeys(("dataset", "arch", "forget", "run"), "string"),
    "usable": "bool",
    **dict.fromkeys(("reason", "outcome", "why"), "string"),
}
Notes = dict[tuple[Any, ...], tuple[str, str]]  # (cell, result set, method, seed or None for all) -> (outcome, why)

_EXPECTED = TypeAdapter(list[Expected])
_FAILURE = TypeAdapter(FailureNote)
_OUTCOME_OF = {"search_failed": "failed", "infrastructure": "not_run"}


def outcomes(frame: pd.DataFrame, results: Path) -> pd.DataFrame:
    """One line per model that a run asked for or a row exists of: `MODEL`, dataset, arch, run, and what came of it.

    frame is what `rows.collect` returned. `run` is the latest run that asked ("" where none did), `outcome` one of
    `OUTCOMES`, `why` its reason; `usable` and `reason` are those of the row. result_set is "" for references, forget
    the title of the forget set, "" where nothing says it. Raises StoreError naming the file for an `expected.json` or
    `failure.json` that cannot be read.
    """
    labels = [*MODEL, "dataset", "arch", "forget"]
    latest = current(frame).rename(columns={"forget_title": "forget"})
    asked = pd.concat([_expected(results), latest[labels].assign(run="")]).drop_duplicates(MODEL)
    known = dict(zip(latest["cell"].tolist(), latest["forget"].tolist(), strict=True))
    asked["forget"] = asked["forget"].fillna(asked["cell"].map(known).astype("string")).fillna("")
    cases = asked.merge(latest[[*MODEL, "usable", "reason"]], how="left", on=MODEL)
    notes, stale = _failures(results), _stale(frame, latest)
    lacking = {model: why for model, (_, why) in _failures(results, measuring=True).items()}
    models = zip(cases["usable"].notna(), *(cases[name].tolist() for name in MODEL), strict=True)
    explained = [
        ("found", lacking.get(tuple(model), "")) if there else _explain(notes | stale, tuple(model))
        for there, *model in models
    ]
    cases[["outcome", "why"]] = pd.DataFrame(explained, columns=["outcome", "why"], dtype="string")
    cases["usable"] = cases["usable"].astype("boolean").fillna(False).astype(bool)
    return cases[list(CASES)].astype(CASES).sort_values(["dataset", "arch", *MODEL], ignore_index=True)


def held_against(frame: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """`outcomes` of several folders, held against their rows, `frame`, together: found is what has a row that counts.

    A row that counted in its own folder may not beside those of another.
    """
    latest = current(frame)
    labels = latest.rename(columns={"forget_title": "forget"})[[*MODEL, "dataset", "arch", "forget"]]
    bare = labels.assign(run="", outcome="found", why="")
    known = pd.concat([cases.drop(columns=["usable", "reason"]), bare]).drop_duplicates(MODEL)
    held = known.merge(latest[[*MODEL, "usable", "reason"]], how="left", on=MODEL)
    there, before = held["usable"].notna(), held["outcome"] == "found"
    stale = _stale(frame, latest)
    whys = [stale.get(model, ("", REPLACED))[1] for model in held[MODEL].itertuples(index=False, name=None)]
    held["why"] = held["why"].mask(there & ~before, "").mask(~there & before, pd.Series(whys, held.index, "string"))
    held["outcome"] = held["outcome"].mask(there, "found").mask(~there & before, "missing")
    held["usable"] = held["usable"].astype("boolean").fillna(False)
    return held[list(CASES)].astype(CASES).sort_values(["dataset", "arch", *MODEL], ignore_index=True)


def counted_once(frame: pd.DataFrame, cases: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and `outcomes` without result sets that are others under a second name.

    So are those of which every model was found and stands, chosen in the same way, in one of newer scores or of a later
    run: earlier versions told 1e-2 from 0.01, and what is the default can be given by hand as well.
    """
    rows = current(frame)
    age = scored_by(rows).astype("string") + cases.merge(rows, "right", MODEL)["run"].fillna("").to_numpy()
    sets = rows.assign(age=age)[rows["result_set"] != ""].groupby(["cell", "result_set"])
    models = {name: set(part[SAME_MODEL].astype("string").fillna("").itertuples(index=False)) for name, part in sets}
    ages = {name: max(part["age"]) for name, part in sets}
    complete = (cases["outcome"] == "found").groupby([cases["cell"], cases["result_set"]]).all().to_dict()
    twice = {
        name
        for name, other in itertools.permutations(models, 2)
        if name[0] == other[0] and complete[name] and models[name] <= models[other]
        and (len(models[name]), ages[name], name) < (len(models[other]), ages[other], other)
    }  # fmt: skip
    return _without(frame, twice), _without(cases, twice)


def _without(table: pd.DataFrame, result_sets: set[Any]) -> pd.DataFrame:
    """`table` without lines of these pairs of cell and result set."""
    named = pd.MultiIndex.from_frame(table[["cell", "result_set"]].fillna(""))
    return table[~named.isin(result_sets)].reset_index(drop=True)


def coverage(cases: pd.DataFrame) -> pd.DataFrame:
    """One line per result set and method: how many rows were expected, counts of `OUTCOMES`, usable ones, and why."""
    keys = ["dataset", "arch", *GROUP]
    counts = cases.groupby(keys)["outcome"].value_counts().unstack(fill_value=0).reindex(columns=OUTCOMES, fill_value=0)
    counts.insert(0, "expected", counts.sum(axis=1))
    counts["usable"] = cases.groupby(keys)["usable"].sum()
    counts["why"] = cases.groupby(keys)[["outcome", "usable", "why", "reason"]].apply(reasons)
    return counts.reset_index()


def reasons(cases: pd.DataFrame) -> str:
    """Why `cases` are not all usable models with all measures, e.g. "2 failed: RuntimeError: no; 1 missing"."""
    told: dict[str, list[str]] = {}
    bad, lacking = cases[~cases["usable"]], cases[(cases["outcome"] == "found") & (cases["why"] != "")]
    for outcome, why, reason in zip(bad["outcome"], bad["why"], bad["reason"].fillna(""), strict=True):
        kind, text = ("not usable", reason) if outcome == "found" else (outcome.replace("_", " "), why)
        told.setdefault(kind, []).append(text)
    if len(lacking):
        told["lack a measure"] = [why.removeprefix(f"{MeasureFailed.__name__}: ") for why in lacking["why"]]
    return "; ".join(_in_words(kind, told[kind]) for kind in sorted(told))


def _in_words(kind: str, texts: list[str]) -> str:
    distinct = [text for text in dict.fromkeys(texts) if text]
    more = f" (and {len(distinct) - 1} more)" if len(distinct) > 1 else ""
    return f"{len(texts)} {kind}" + (f": {distinct[0]}{more}" if distinct else "")


def holes(cases: pd.DataFrame) -> pd.DataFrame:
    """The lines of `outcomes` that are neither found nor explained by a failure of their own."""
    return cases[cases["outcome"].isin(HOLES)]


def name_holes(cases: pd.DataFrame) -> str:
    """The missing rows in words, e.g. "digits resnet18 msg seed 1, 2", at most `NAMED_HOLES` groups.

    The forget set is named where there are several.
    """
    told_apart = ["dataset", "arch", *(["forget"] if several_forget_sets(cases) else []), "method"]
    groups = [
        f"{' '.join(map(str, names))} seed {', '.join(map(str, sorted(seeds)))}"
        for names, seeds in holes(cases).fillna({"forget": ""}).groupby(told_apart)["seed"]
    ]
    more = [f"and {len(groups) - NAMED_HOLES} more"] if len(groups) > NAMED_HOLES else []
    return "; ".join([*groups[:NAMED_HOLES], *more])


def several_forget_sets(cases: pd.DataFrame) -> bool:
    """Whether cells differ in what is forgotten, so that it has to be said."""
    return bool(cases["forget"].nunique() > 1)


def require_complete(cases: pd.DataFrame) -> None:
    """Raises ConfigError naming the missing rows, if any, and what to do about them."""
    missing = holes(cases)
    if missing.empty:
        return
    runs = ", ".join(f"runs/{run}" for run in sorted(set(missing["run"]) - {""}))
    given_up = f", or delete a run that was given up ({runs})" if runs else ""
    raise ConfigError(
        f"{len(missing)} of {len(cases)} expected rows are missing",
        given=f"{name_holes(cases)} ({reasons(missing)})",
        allowed="every expected row found, or explained by a failure of its method",
        remedy="finish the sweep (the same command again does only what is missing) or complete the file of extra=, "
        f"give partial=true to mark the holes instead{given_up}",
    )


def _expected(results: Path) -> pd.DataFrame:
    """The union over all runs; of a row that several asked for, the latest run (by name) stays."""
    lines = [
        {**vars(line), "result_set": line.result_set or "", "run": path.parent.name}
        for path in sorted(Results(results).runs.glob("*/expected.json"), reverse=True)
        for line in read_json(path, _EXPECTED)
    ]
    frame = pd.DataFrame(lines, columns=[*MODEL, "dataset", "arch", "forget", "run"])
    return frame.astype({name: "string" for name in frame if name != "seed"} | {"seed": "int64"}).drop_duplicates(MODEL)


def failure_notes(results: Path) -> list[FailureNote]:
    """The failures that stand, those overcome left out. Raises StoreError naming a file that cannot be read."""
    return [note for _, note in standing_failures(results)]


def standing_failures(results: Path) -> list[tuple[Path, FailureNote]]:
    """The same, each with its file."""
    paths = Results(results).store.glob("*/*/failures/*/failure.json")
    return [(path, _as_told_now(read_json(path, _FAILURE))) for path in sorted(paths)]


def _as_told_now(note: FailureNote) -> FailureNote:
    """Earlier versions took infrastructure for failures of the method."""
    mistaken = note.kind == "failed" and rule_of_note(note.error, note.message)
    return replace(note, kind="infrastructure") if mistaken else note


def _failures(results: Path, *, measuring: bool = False) -> Notes:
    """What explains missing rows, or missing measures of rows that are there.

    Of several failures of one model the latest, a cause before what it held up. Earlier versions measured while they
    evaluated.
    """
    notes: Notes = {}
    held_up = ("skipped", "not_reached", "InputMissing")
    found = [note for note in failure_notes(results) if _of_measures(note) == measuring]
    for note in sorted(found, key=lambda note: (not {note.kind, note.error} & {*held_up}, note.date)):
        every_seed = note.stage in SEARCH_STAGES or note.kind == "not_applicable"
        outcome = _OUTCOME_OF.get(note.kind, note.kind)
        problem = (note.message.strip().splitlines() or [""])[0]
        why = f"search failed: {problem}" if note.kind == "search_failed" else f"{note.error}: {problem}"
        notes[note.cell, note.result_set or "", note.method, None if every_seed else note.seed] = outcome, why
    return notes


def _of_measures(note: FailureNote) -> bool:
    return note.stage == "measure" or note.error == MeasureFailed.__name__


def _stale(frame: pd.DataFrame, latest: pd.DataFrame) -> Notes:
    """Models that do not count, since newer scores of their method's other models are there."""
    all_ = frame.assign(result_set=frame["result_set"].fillna(""), scored_by=scored_by(frame))
    newest = all_.groupby(MODEL[:3])["scored_by"].transform("max")
    older = all_[all_["scored_by"] < newest][MODEL].itertuples(index=False, name=None)
    counted = latest[MODEL].itertuples(index=False, name=None)
    return dict.fromkeys(set(older) - set(counted), ("missing", RESCORED))


def _explain(notes: Notes, model: tuple[Any, ...]) -> tuple[str, str]:
    return notes.get((*model[:3], None)) or notes.get(model) or ("missing", "")
