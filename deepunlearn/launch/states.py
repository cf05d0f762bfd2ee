"""How far the tasks of a sweep are. Imports no torch; reads the store and the Optuna storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepunlearn.cells import REFERENCES
from deepunlearn.core.claims import Claims, Owner
from deepunlearn.core.keys import MetricsKey, ReferenceKey, SearchKey, StudyKey, UnlearnedKey
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.params import Value
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.store import Entry, Store, find_row
from deepunlearn.launch.task import Task, role_of
from deepunlearn.launch.tasks import TaskList
from deepunlearn.search.slots import StoredStudy, seconds_of, stored_study, study_name


class StoredStates(TaskList):
    """Knows what the store already has of a sweep's tasks, and who is at them."""

    def __init__(self, sweep: SweepConfig, progress: Progress, *, only_plan: bool = False) -> None:
        super().__init__(sweep, progress, only_plan=only_plan)
        self.store = Store(self.results.store)
        self.claims = Claims(self.results.work / "claims")
        self._winners: dict[tuple[int, str], dict[str, Value]] = {}
        self._selections: dict[tuple[int, str], tuple[SearchKey, Path]] = {}

    def is_done(self, task: Task) -> bool:
        keys = self.keys[task.cell]
        if task.stage in ("confidence", "record"):
            return self._watched_entry(task) is not None
        if task.stage == "reference":
            assert task.seed is not None
            return self.store.find(keys.reference(role_of(task), task.seed), self.place(task)) is not None
        if task.stage == "search":
            return self.winner(task.cell, task.method) is not None or not self.trials_missing(task)
        if task.stage == "select":
            return self.winner(task.cell, task.method) is not None
        if task.stage == "measure":
            return all(entry is not None for entry in self._measured(self._wanted(task), task))
        return self._row_stored(task)

    def has_come(self, task: Task) -> bool:
        """As `is_done`, of what another machine may have finished at this moment."""
        with self.store.looking_anew():
            return self.is_done(task)

    def _watched_entry(self, task: Task) -> Entry | None:
        """What was seen of a training that was watched."""
        key = self.record_key(task) if task.stage == "record" else self.watched_key(task)
        return self.store.find(key, self.place(task))

    def subject(self, task: Task) -> ReferenceKey | UnlearnedKey | None:
        """The model that an evaluation is about; None before its hyper-parameters are known."""
        keys, seed = self.keys[task.cell], task.seed
        assert seed is not None
        if task.method in REFERENCES:
            return keys.reference(role_of(task), seed)
        method, params = self.methods[task.method], self.params(task.cell, task.method)
        if params is None:
            return None
        drawn, before = keys.report_draw(self.sweep, method, seed), self.before(task.cell)
        if before is None:
            return keys.unlearned(method, params, seed, drawn)
        earlier = self.subject(replace(task, cell=before))
        return keys.unlearned(method, params, seed, drawn, earlier) if isinstance(earlier, UnlearnedKey) else None

    def has_model(self, task: Task) -> bool:
        """Whether the model that an evaluation is about is stored; what is left to do is quick then."""
        return self.model(task) is not None

    def model(self, task: Task) -> Entry | None:
        """That model."""
        subject = self.subject(task)
        return None if subject is None else self.store.find(subject, self.place(task))

    def _row_stored(self, task: Task) -> bool:
        """Whether the model of an evaluation, its metrics and its row are all there."""
        if not self.sweep.cells[task.cell].forget.scored:
            return self.has_model(task)  # attacked all together, not scored one by one
        subject = self.subject(task)
        if subject is None or task.seed is None:
            return False
        metrics, row = self._row(task, subject, task.seed)
        return row is not None and all(self.store.find(key, self.place(task)) is not None for key in (subject, metrics))

    def _row(self, task: Task, subject: ReferenceKey | UnlearnedKey, seed: int) -> tuple[MetricsKey, Entry | None]:
        """The key of the metrics of an evaluation, and its stored row."""
        keys, searched = self.keys[task.cell], task.method not in REFERENCES
        chosen = keys.chosen_by(self.sweep, self.methods[task.method]) if searched else None
        metrics = keys.metrics(subject, seed)
        return metrics, find_row(self.store, keys.row(metrics, chosen), self.place(task), self.result_set(task))[1]

    def row_entry(self, task: Task) -> Entry | None:
        """The row of an evaluation; None before it is stored."""
        subject = self.subject(task)
        return None if subject is None or task.seed is None else self._row(task, subject, task.seed)[1]

    def row(self, task: Task) -> dict[str, Any] | None:
        """The scores of the model of an evaluation; None before they are stored."""
        entry = self.row_entry(task)
        return None if entry is None else dict(entry.json("row.json"))

    def lacking(self, task: Task) -> list[Measure]:
        """The further measures that the model of a task, or all of a method together, do not have yet."""
        wanted = self._wanted(task)
        return [one for one, entry in zip(wanted, self._measured(wanted, task), strict=True) if entry is None]

    def measured(self, task: Task) -> list[Entry]:
        """What further measures of the model of an evaluation are stored."""
        return [one for one in self._measured(self.measures_of(task.method), task) if one is not None]

    def _wanted(self, task: Task) -> list[Measure]:
        return self.measures_over_seeds if task.seed is None else self.measures_of(task.method)

    def _measured(self, measures: Iterable[Measure], task: Task) -> Iterator[Entry | None]:
        """What is stored of each of these for the model of a task, or for all of a method together."""
        keys, place, seed = self.keys[task.cell], self.place(task), task.seed
        if seed is None:
            group = self.group(task)
            yield from (None if group is None else self.store.find(keys.group(*group, one), place) for one in measures)
            return
        subject = self.subject(task)
        for one in measures:
            yield None if subject is None else self.store.find(keys.measure(subject, seed, one), place)

    def group(self, task: Task) -> tuple[list[UnlearnedKey], list[int]] | None:
        """The models that a measure over seeds looks at, and their seeds; None before their values are known."""
        members = self.members(task)
        found = [subject for one in members if isinstance(subject := self.subject(one), UnlearnedKey)]
        return (found, [one.seed for one in members if one.seed is not None]) if len(found) == len(members) else None

    def measuring_seconds(self, measure: Measure, task: Task) -> float | None:
        """What it took of the first model of the same method that has it; None where none has."""
        alike = (one for one in self.tasks if (one.stage, one.cell, one.method) == (task.stage, task.cell, task.method))
        entries = (entry for one in alike for entry in self._measured([measure], one))
        return next((float(one.meta["seconds"]) for one in entries if one and "seconds" in one.meta), None)

    def inputs(self, task: Task) -> list[Task]:
        """A measure needs a model and its references, and no row: that may be of another version."""
        if task.stage == "measure" and all(self.has_model(one) for one in self.members(task)):
            seeds = [one.seed for one in self.members(task) if one.seed is not None]
            return [reference for seed in seeds for reference in self.references(task.cell, seed)]
        return super().inputs(task)

    def params(self, cell: int, name: str) -> dict[str, Value] | None:
        """The hyper-parameters to evaluate with; None before they are known ("after search")."""
        method, keys = self.methods[name], self.keys[cell]
        if keys.source(self.sweep, method) == "search":
            return self.winner(cell, name)
        return keys.given(self.sweep, method)

    def winner(self, cell: int, name: str) -> dict[str, Value] | None:
        """What the search of a method has found; None before it has ended."""
        if (cell, name) not in self._winners:
            entry, method = self.selection(cell, name), self.methods[name]
            if entry is None:
                return None
            self._winners[cell, name] = method.complete(entry.json("winner.json")["params"])
        return self._winners[cell, name]

    def selection(self, cell: int, name: str) -> Entry | None:
        """What is stored of the search of a method, its winner among it; None before it has ended."""
        key, folder = self._selection(cell, name)
        looks = self.store.anew or folder.is_dir()
        return self.store.find(key, self.keys[cell].place(name)) if looks else None

    def _selection(self, cell: int, name: str) -> tuple[SearchKey, Path]:
        """The key of a method's winner, and where it lies. Kept: a plan asks for it thousands of times."""
        if (cell, name) not in self._selections:
            keys = self.keys[cell]
            key = keys.chosen_by(self.sweep, self.methods[name])
            assert isinstance(key, SearchKey)
            self._selections[cell, name] = key, self.store.path(key, keys.place(name))
        return self._selections[cell, name]

    def trials_done(self, task: Task) -> int:
        """Finished trials of a study; 0 where it does not exist yet."""
        return len(self._stored_study(task).finished)

    def trials_missing(self, task: Task) -> int:
        """Trials that a study lacks; none where it has stopped early."""
        stored = self._stored_study(task)
        return stored.trials - len(stored.finished)

    def trial_seconds(self, task: Task) -> list[float]:
        """Wall seconds of each finished trial of a study, scoring included."""
        seconds = map(seconds_of, self._stored_study(task).finished.values())
        return [took for took in seconds if took is not None]

    def _stored_study(self, task: Task) -> StoredStudy:
        assert task.seed is not None
        keys, search = self.keys[task.cell], self.sweep.search
        return stored_study(self._study(task, task.seed), keys.cell, search, self.results)

    def _study(self, task: Task, seed: int) -> StudyKey:
        keys, method = self.keys[task.cell], self.methods[task.method]
        first, *others = self.seeds_of_study(replace(task, seed=seed))
        return keys.study(method, self.sweep.search, first, keys.chosen_before(self.sweep, method), others)

    def workers_at(self, task: Task) -> list[Owner]:
        """Living processes that are at `task` now; several for a search that is shared."""
        if task.stage == "search":
            assert task.seed is not None
            keys, search = self.keys[task.cell], self.sweep.search
            study = study_name(self._study(task, task.seed), keys.cell, search)
            return list(Claims(self.results.search / "claims" / study).held().values())
        owner = self.claims.holder(self.task_id(task))
        return [] if owner is None else [owner]

    def seconds(self, task: Task) -> float | None:
        """What a finished training, watched or not, or unlearning took; None of other tasks."""
        timed = task.stage == "reference" or (task.stage == "evaluate" and task.method not in REFERENCES)
        subject = self.subject(task) if timed else None
        entry = self.store.find(subject, self.place(task)) if subject is not None else None
        if task.stage in ("confidence", "record"):
            entry = self._watched_entry(task)
        known = None if entry is None else entry.meta["seconds"]  # null of an original that was given
        return None if known is None else float(known)
