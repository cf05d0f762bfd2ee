"""Tells the tracker of a sweep (`tracker=`) of each evaluation and search. Imports no torch.

All it says is read from the store, between two tasks: nothing is told while a clock runs. What was told is marked in
the results folder, so that a sweep that goes on, or another process, tells nothing twice. What fails here ends nothing.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from deepunlearn.cells import REFERENCES
from deepunlearn.core.identity import canonical_json
from deepunlearn.core.paths import write_atomically
from deepunlearn.core.progress import Progress
from deepunlearn.core.search_config import SearchConfig
from deepunlearn.core.store import Entry
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import Task, evaluation_of
from deepunlearn.metrics.row import Labels
from deepunlearn.search.objective import COMPONENTS, Losses
from deepunlearn.trackers import open_tracker
from deepunlearn.trackers.base import Param, TrackedRun, Tracker

IN_A_ROW = 3  # after so many failures a process leaves its tracker alone: each may have waited for a server
OF_THE_STORE = ("params", "notes", "metrics_key", "cell", "method", "seed")  # labels of a row that are told otherwise
Curve = list[tuple[int, float]]


class Tracking:
    """Tells the tracker of a sweep what it has; does nothing with tracker=none."""

    def __init__(self, planner: Planner, progress: Progress) -> None:
        self.planner, self.progress = planner, progress
        self.name = planner.sweep.tracker
        self.folder = planner.results.trackers / self.name
        self._failed = 0  # times in a row
        self._reason = ""

    @cached_property
    def tracker(self) -> Tracker:
        return open_tracker(self.name, self.folder)

    def prepare(self) -> None:
        """Before processes write beside each other."""
        if self.name != "none":
            try:
                self.tracker.prepare()
            except Exception as error:
                self._note(error)

    def follow(self, task: Task) -> None:
        """Tell what is whole since `task` has ended; an evaluation is, once its model has been measured."""
        if self.name == "none":
            return
        awaited = task.stage == "evaluate" and self.planner.measures_of(task.method)
        if task.stage == "measure" and task.seed is not None:
            self._told(evaluation_of(task))
        elif task.stage == "select" or (task.stage == "evaluate" and not awaited):
            self._told(task)

    def finish(self) -> Iterator[str]:
        """Tell what no worker has told; yields lines for people on how it ended."""
        if self.name == "none":
            return
        told = [one for one in map(self._told, self._tasks()) if one is not None]
        where = f"; see them with: {self.tracker.view}" if any(told) else ""
        yield f"tracker={self.name}: {sum(told)} runs{where}"
        if missing := told.count(False):
            yield f"tracker={self.name}: {missing} runs could not be written ({self._reason}); the same command does it"

    def _tasks(self) -> list[Task]:
        """The evaluations and selections that have rows."""
        cells = self.planner.sweep.cells
        rows = (one for one in self.planner.tasks if one.stage == "evaluate" and cells[one.cell].forget.scored)
        return [*(one for one in self.planner.tasks if one.stage == "select"), *rows]

    def _told(self, task: Task) -> bool | None:
        """Whether the tracker knows what is stored of `task`, told now if need be; None where nothing is stored."""
        try:
            run = self._run(task)
            return None if run is None else self._write(run)
        except Exception as error:  # of whatever kind a library raises: a sweep is not to end by what it tells
            self._note(error)
            return False

    def _run(self, task: Task) -> TrackedRun | None:
        return searched(self.planner, task) if task.stage == "select" else evaluated(self.planner, task)

    def _write(self, run: TrackedRun) -> bool:
        """False where the tracker has failed too often, or another process is at it."""
        mark = self.folder / "told" / f"{run.short}.json"
        known = json.loads(mark.read_text(encoding="utf-8")) if mark.is_file() else {}
        run = replace(run, scores={**known.get("scores", {}), **run.scores})  # other commands had other measures
        wanted = {"elsewhere": self.tracker.told_to, "content": _digest(run)}
        if {name: known.get(name) for name in wanted} == wanted:
            return True
        claim = f"tracker-{self.name}-{run.short}"
        if self._failed >= IN_A_ROW or not self.planner.claims.take(claim):
            return False
        try:
            name = known["run"] if known.get("elsewhere") == wanted["elsewhere"] else self.tracker.begin(run)
            told = {**wanted, "scores": dict(run.scores), "run": name}
            write_atomically(mark, json.dumps({**told, "content": ""}) + "\n")
            self.tracker.write(run, name)
            write_atomically(mark, json.dumps(told) + "\n")
        finally:
            self.planner.claims.release(claim)
        self._failed = 0
        return True

    def _note(self, error: Exception) -> None:
        """Say so the first time; the count comes at the end."""
        if not self._reason:
            self.progress.say(f"tracker={self.name} failed, and the sweep goes on without it: {_one_line(error)}")
        self._failed += 1
        self._reason = _one_line(error)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _digest(run: TrackedRun) -> str:
    """Of what is told, but for where files lie."""
    told = {"params": dict(run.params), "scores": dict(run.scores), "curves": dict(run.curves)}
    return hashlib.sha256(canonical_json(told).encode()).hexdigest()[:16]


# ------------------------------------------------------------------------------------------------------- what is stored


def evaluated(planner: Planner, task: Task) -> TrackedRun | None:
    """What is stored of an evaluation; None where its row is not."""
    entry, subject = planner.row_entry(task), planner.model(task)
    if entry is None or subject is None:
        return None
    row = entry.json("row.json")
    labels = {name: value for name, value in row.items() if name in Labels.model_fields and name not in OF_THE_STORE}
    added = [one.json("values.json")["values"] for one in planner.measured(task)]
    scores = {name: value for name, value in row.items() if name not in Labels.model_fields}
    return TrackedRun(
        key=entry.key.hash,
        kind="evaluation",
        cell=planner.sweep.cells[task.cell].name,
        method=task.method,
        seed=task.seed,
        params=_known({**labels, **_hyperparameters(json.loads(row["params"] or "{}"))}),
        scores=_numbers({name: value for one in (scores, *added) for name, value in one.items()}),
        curves=_history(subject) if task.method in REFERENCES else {},
        files={"row": entry.path.absolute(), "model": subject.path.absolute()},
    )


def searched(planner: Planner, task: Task) -> TrackedRun | None:
    """What is stored of a search; None where no trial has won yet."""
    entry = planner.selection(task.cell, task.method)
    if entry is None:
        return None
    winner, cell = entry.json("winner.json"), planner.sweep.cells[task.cell]
    of_winner = {"dataset": cell.dataset.name, "arch": cell.arch.name, "seed": winner["seed"], "slot": winner["slot"]}
    trials = entry.file("trials.csv")
    return TrackedRun(
        key=entry.key.hash,
        kind="search",
        cell=cell.name,
        method=task.method,
        seed=None,
        params=_known({**_of_search(planner.sweep.search), **of_winner, **_hyperparameters(winner["params"])}),
        scores=_numbers({**winner["losses"], "norm": winner["norm"]}),
        curves=trial_curves(trials),
        files={"selection": entry.path.absolute(), "trials": trials.absolute()},
    )


def trial_curves(trials: Path) -> dict[str, Curve]:
    """By study, of each completed trial its losses and their norm, and the smallest norm so far; step: the slot."""
    curves: dict[str, Curve] = defaultdict(list)
    smallest: dict[str, float] = defaultdict(lambda: math.inf)
    with trials.open(newline="", encoding="utf-8") as file:
        for trial in csv.DictReader(file):
            if trial["state"] != "COMPLETE":
                continue
            study, slot = f"seed{trial['seed']}", int(trial["slot"])
            values = {name: float(trial[name]) for name in COMPONENTS if trial[name]}
            norm = Losses(**{name: values.get(name) for name in COMPONENTS}).norm  # type: ignore[arg-type]
            smallest[study] = min(smallest[study], norm)
            for name, value in {**values, "norm": norm, "smallest_norm": smallest[study]}.items():
                curves[f"trial/{study}/{name}"].append((slot, value))
    return dict(curves)


def _of_search(search: SearchConfig) -> dict[str, Any]:
    return {f"search.{name}": value for name, value in search.model_dump(exclude={"storage", "title"}).items()}


def _hyperparameters(params: dict[str, Any]) -> dict[str, Any]:
    return {f"params.{name}": value for name, value in params.items()}


def _history(entry: Entry) -> dict[str, Curve]:
    """The training loss of each epoch; none of an original that was given."""
    if "history.json" not in entry.meta["files"]:
        return {}
    return {"train/loss": list(enumerate(entry.json("history.json")["losses"]))}


def _known(values: dict[str, Any]) -> dict[str, Param]:
    """Without what is null; lists as text."""
    plain = {name: value for name, value in values.items() if value is not None}
    return {name: value if isinstance(value, str | int | float) else json.dumps(value) for name, value in plain.items()}


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    """Without what is null; yes and no are 1 and 0."""
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
