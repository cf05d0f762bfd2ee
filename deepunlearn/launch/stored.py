"""What is stored already and may be measured: the runs of a results folder, with other measures. Imports no torch."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from deepunlearn.cells import REFERENCES
from deepunlearn.core.errors import ConfigError, DeepUnlearnError, StoreError, unknown
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig, LocalLauncher, SlurmLauncher, SweepConfig
from deepunlearn.core.store import DRAFT
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import HOW, load_sweep
from deepunlearn.launch.task import Task

AXES = ("method", "dataset", "arch", "forget")
COMMAND = "measure"


class Run(NamedTuple):
    """A sweep that was run on a results folder, and the name of its folder there."""

    name: str
    sweep: SweepConfig


class How(NamedTuple):
    """What is computed of models that are stored, and how; runtime: fields that differ from the run's."""

    results: str
    measures: tuple[Measure, ...]
    launcher: LocalLauncher | SlurmLauncher
    runtime: Mapping[str, Any]

    def of(self, sweep: SweepConfig, measures: Iterable[Measure]) -> SweepConfig:
        own = {"results": self.results, "measures": tuple(measures), "launcher": self.launcher, "tracker": "none"}
        return sweep.model_copy(update={**own, "runtime": sweep.runtime.model_copy(update=self.runtime)})


class Found(NamedTuple):
    """What can be measured, and in words what cannot, and why."""

    planners: list[StoredModels]
    left_out: list[str]


def find(chosen: Mapping[str, Sequence[str]], how: How, progress: Progress) -> Found:
    """The stored models of all runs of a results folder, each once; a run that cannot be used hides no other.

    chosen: by axis the names that alone are measured. Raises ConfigError where there are no runs, or a name is of none
    of them.
    """
    left_out: list[str] = []
    results = Results(Path(how.results))
    runs = list(_distinct(_runs(results, left_out)))
    _check_chosen(chosen, [run.sweep for run in runs], results)
    found, taken, known = Found([], left_out), set[str](), set[Path]()
    for run in runs:
        sweep = _cut(run.sweep, chosen)
        if not sweep.cells:
            continue
        sweep = how.of(sweep, _measurable(how.measures, run, left_out))
        planner = StoredModels(sweep, progress, run.name, taken)
        try:
            left_out += planner.left_out()
        except DeepUnlearnError as error:
            left_out.append(f"run {run.name}: {error.problem} ({error.given})")
            continue
        known |= planner.models
        if planner.tasks:
            found.planners.append(planner)
    if not chosen and (alone := [path for path in _unlearned(results) if path not in known]):
        left_out.append(_of_no_run(alone))
    return found


class StoredModels(Planner):
    """Of the tasks of a sweep the measuring of those models that are stored and that no other run has."""

    command = COMMAND

    def __init__(self, sweep: SweepConfig, progress: Progress, run: str, taken: set[str]) -> None:
        """taken: what models are measured already by others, as hashes; these are added."""
        super().__init__(sweep, progress)
        self.run, self._taken = run, taken

    @cached_property
    def tasks(self) -> list[Task]:
        own = {task: model for task in self._all if (model := self._model(task)) is not None}
        left = {task: model for task, model in own.items() if model not in self._taken}
        self._taken.update(left.values())
        return list(left)

    @cached_property
    def _all(self) -> list[Task]:
        return [task for cell in range(len(self.sweep.cells)) for task in self._tasks("measure", cell)]

    def _model(self, task: Task) -> str | None:
        """What tells a model from others, and the retrained one that it is held against; None where it is not there."""
        if task.seed is None:
            return self._group(task)
        subject = self.subject(task)
        if subject is None or not self.store.has(subject, self.place(task)):
            return None
        return self.keys[task.cell].metrics(subject, task.seed).hash

    def _group(self, task: Task) -> str | None:
        """The same of all models of a method together, where all are stored."""
        own = [self._model(replace(one, stage="measure")) for one in self.members(task)]
        return None if None in own else f"group {' '.join(map(str, own))}"

    @property
    def models(self) -> set[Path]:
        """Where the unlearned models of this run lie, those that no measure is taken of included."""
        evaluated = (task for cell in range(len(self.sweep.cells)) for task in self._tasks("evaluate", cell))
        unlearned = (task for task in evaluated if task.method in self.methods)
        subjects = ((self.subject(task), task) for task in unlearned)
        return {self.store.path(key, self.place(task)) for key, task in subjects if key is not None}

    def left_out(self) -> Iterator[str]:
        """What of this run is not measured, and why."""
        told_apart = [cell.name for cell in self.sweep.cells if not cell.forget.scored]
        if told_apart:
            yield f"run {self.run}: the models of {', '.join(told_apart)} are attacked all together, not one by one"
        alone = [task for task in self._all if task.seed is not None]
        missing = [task for task in alone if self._model(task) is None]
        if missing:
            named = ", ".join(task.label(self.sweep).replace(" measure ", " ") for task in missing[:3])
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            yield f"run {self.run}: {len(missing)} of {len(alone)} models are not stored: {named}{more}"
        for task in self._all:
            if task.seed is None and self._model(task) is None:
                wanted = ", ".join(one.name for one in self.measures_over_seeds)
                named = task.label(self.sweep).replace(" measure ", " ")
                yield f"run {self.run}: {wanted} of {named} need the models of all its seeds, and some are not stored"


def _runs(results: Results, left_out: list[str]) -> Iterator[Run]:
    """Raises ConfigError where there is nothing to read."""
    if not results.root.is_dir():
        raise ConfigError(
            "there is no such folder of results",
            given=f"results={results.root}",
            allowed="a folder that a sweep was run with",
            remedy="give results=DIR, the same as to the sweep",
        )
    paths = sorted(results.runs.glob("*/sweep.json"))
    if not paths:
        alone = _unlearned(results)
        raise ConfigError(
            f"nothing is stored that could be measured: no sweep was run with results={results.root}",
            given=_of_no_run(alone) if alone else f"{results.runs}: no run",
            allowed="a folder with runs/NAME/sweep.json, which a sweep writes",
            remedy="run the sweep's command with measures=[...], which computes nothing twice, or give results=DIR",
        )
    for path in paths:
        try:
            if _asked_by(path.parent) != COMMAND:
                yield Run(path.parent.name, load_sweep(path))
        except StoreError as error:
            left_out.append(f"run {path.parent.name}: {error.problem} ({error.given})")


def _unlearned(results: Results) -> list[Path]:
    return sorted(path for path in results.store.glob("*/*/unlearned/*/*") if not path.name.startswith(DRAFT))


def _of_no_run(alone: Sequence[Path]) -> str:
    """What to do about models of which no run says how they were made."""
    one = "/".join(alone[0].parts[-5:])
    return f"{len(alone)} stored models are of no run, e.g. {one}: run their sweep's command with measures=[...]"


def _asked_by(folder: Path) -> str:
    """The command that a run is of; what measures stored models is no run of its own."""
    try:
        words = shlex.split((folder / "command.txt").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return words[2].removeprefix("deepunlearn.") if len(words) > 2 else ""


def _distinct(runs: Iterable[Run]) -> Iterator[Run]:
    """Each once that differs in what it computes, measures apart; first those that keep what measures may need."""
    known = set()
    for run in sorted(runs, key=lambda run: run.sweep.keep != "weights"):
        what = run.sweep.model_dump_json(exclude={**HOW, "measures": True, "results": True})
        if what not in known:
            known.add(what)
            yield run


def _names(sweep: SweepConfig) -> dict[str, list[str]]:
    """The names of a run by axis; a forget set has that of its kind and its spelling."""
    kinds = [name for cell in sweep.cells for name in cell.forget.known_as]
    return {
        "method": [one.name for one in sweep.methods],
        "dataset": [cell.dataset.name for cell in sweep.cells],
        "arch": [cell.arch.name for cell in sweep.cells],
        "forget": kinds,
    }


def _check_chosen(chosen: Mapping[str, Sequence[str]], sweeps: Sequence[SweepConfig], results: Results) -> None:
    known = [_names(sweep) for sweep in sweeps]
    for axis, names in chosen.items():
        stored = dict.fromkeys(name for one in known for name in one[axis])
        for name in names:
            if name not in stored:
                raise unknown(f"{axis} among what is stored in {results.root}:", name, stored)


def _cut(sweep: SweepConfig, chosen: Mapping[str, Sequence[str]]) -> SweepConfig:
    """`sweep` without cells and methods that are not chosen; without any cell where nothing is left."""
    methods = tuple(one for one in sweep.methods if one.name in chosen.get("method", [one.name]))
    cells = tuple(cell for cell in sweep.cells if _is_chosen(cell, chosen))
    return sweep.model_copy(update={"methods": methods, "cells": cells if methods or not sweep.methods else ()})


def _is_chosen(cell: CellConfig, chosen: Mapping[str, Sequence[str]]) -> bool:
    names = {
        "dataset": {cell.dataset.name},
        "arch": {cell.arch.name},
        "forget": {*cell.forget.known_as},
    }
    return all(not own.isdisjoint(chosen[axis]) for axis, own in names.items() if axis in chosen)


def _measurable(measures: Iterable[Measure], run: Run, left_out: list[str]) -> Iterator[Measure]:
    """Those that the models of a run can have: weights may not have been kept."""
    for measure in measures:
        if not measure.alone and not run.sweep.cells[0].retrains:
            left_out.append(f"run {run.name}: {measure.name} needs the retrained model, and there is none (no recipe)")
            continue
        if "weights" in measure.needs and run.sweep.keep != "weights":
            left_out.append(f"run {run.name}: {measure.name} needs weights, which were not kept (keep=logits)")
            continue
        if "call" in measure.needs:
            told = f"{' and '.join(REFERENCES)} have no {measure.name}: no unlearning call has made them"
            left_out += [told] if told not in left_out else []
        yield measure
