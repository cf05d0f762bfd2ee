"""The tasks of a sweep and how far each is. Imports no torch; reads the store and the Optuna storage."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from optuna.trial import FrozenTrial

from deepunlearn.cells import REFERENCES, CellKeys
from deepunlearn.core.claims import Claims, Owner
from deepunlearn.core.errors import MissingData
from deepunlearn.core.forget import Role, Splits
from deepunlearn.core.infrastructure import rule_of_note
from deepunlearn.core.keys import ReferenceKey, SearchKey, UnlearnedKey, canonical_json
from deepunlearn.core.params import Value
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.store import FailureKind, FailureNote, Failures, Place, Store, now
from deepunlearn.data.decoded import Digest, as_published, digest_of
from deepunlearn.search.slots import stored_trials, study_name

Stage = Literal["reference", "search", "select", "evaluate"]
State = Literal["done", "to do", "failed", "skipped"]
STAGES: tuple[Stage, ...] = ("reference", "search", "select", "evaluate")


@dataclass(frozen=True)
class Task:
    """A piece of work that stands for itself: one model to train, one study, one selection, one model to evaluate.

    cell: its number in the sweep; method: a method's name, or original / retrained; seed: of the model or study.
    """

    stage: Stage
    cell: int
    method: str
    seed: int | None

    @classmethod
    def parse(cls, text: str) -> Task:
        """The task whose `str` is `text`."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def label(self, sweep: SweepConfig) -> str:
        seed = "" if self.seed is None else f" seed {self.seed}"
        return f"{sweep.cells[self.cell].name} {self.stage} {self.method}{seed}"


class Planner:
    """Knows the tasks of a sweep, what each needs, and what the store already has."""

    def __init__(self, sweep: SweepConfig, progress: Progress, *, only_plan: bool = False) -> None:
        """only_plan: nothing will run, so datasets whose files are missing are taken to be as published."""
        self.sweep, self.progress, self._only_plan = sweep, progress, only_plan
        self.missing: dict[str, MissingData] = {}  # what was found when looking for each dataset that is not there
        self.results = Results(Path(sweep.results))
        self.store, self.failures = Store(self.results.store), Failures(self.results.store)
        self.claims = Claims(self.results.work / "claims")
        self.methods = {method.name: method for method in sweep.methods}
        self._digests: dict[int, Digest] = {}
        self._splits: dict[int, Splits] = {}
        self._winners: dict[tuple[int, str], dict[str, Value]] = {}
        self._selections: dict[tuple[int, str], tuple[SearchKey, Path]] = {}

    @cached_property
    def keys(self) -> list[CellKeys]:
        """The keys of each cell; reads or decodes the data where that has not been done yet."""
        return [self._cell_keys(cell) for cell in range(len(self.sweep.cells))]

    def _cell_keys(self, cell: int) -> CellKeys:
        data = self.data(cell)
        return CellKeys(self.sweep.cells[cell], data.digest, len(data.class_names), partial(self._sizes_of, cell))

    @property
    def timed(self) -> bool:
        """Whether the seconds of unlearning count, so that nothing may run beside it."""
        return any(cell.forget.scored for cell in self.sweep.cells)

    # ---------------------------------------------------------------------------------------------------------- tasks

    @cached_property
    def tasks(self) -> list[Task]:
        """All tasks in an order in which each comes after what it needs."""
        return [task for stage in STAGES for cell in range(len(self.sweep.cells)) for task in self._tasks(stage, cell)]

    def _tasks(self, stage: Stage, cell: int) -> Iterator[Task]:
        config = self.sweep.cells[cell]
        reported, searched_on = self.sweep.report_seeds(config), self.sweep.search_seeds(config)
        if stage == "reference":
            seeds = sorted({*reported, *(searched_on if self._searched(cell) else ())})
            yield from dict.fromkeys(self._reference(cell, role, seed) for seed in seeds for role in REFERENCES)
        elif stage == "search":
            searched = self._searched(cell)
            yield from (Task(stage, cell, name, seed) for name in searched for seed in searched_on)
        elif stage == "select":
            yield from (Task(stage, cell, name, None) for name in self._searched(cell))
        else:
            names = [*REFERENCES, *self.methods] if config.forget.scored else [*self.methods]
            yield from (Task(stage, cell, name, seed) for name in names for seed in reported)

    def _reference(self, cell: int, role: Role, seed: int) -> Task:
        return Task("reference", cell, role, self.sweep.cells[cell].forget.first_of(role, seed))

    def _searched(self, cell: int) -> list[str]:
        source = self.keys[cell].source
        return [name for name, method in self.methods.items() if source(self.sweep, method) == "search"]

    def inputs(self, task: Task) -> list[Task]:
        """The tasks that `task` reads directly."""
        if task.stage == "reference":
            return []
        references = [] if task.seed is None else [self._reference(task.cell, role, task.seed) for role in REFERENCES]
        if task.stage == "search" or task.method in REFERENCES:
            return references
        if task.stage == "select":
            seeds = self.sweep.search_seeds(self.sweep.cells[task.cell])
            return [Task("search", task.cell, task.method, seed) for seed in seeds]
        chosen = [Task("select", task.cell, task.method, None)] if task.method in self._searched(task.cell) else []
        return [*references, *chosen]

    def sizes(self, cell: int) -> dict[str, int]:
        """Samples of retain, forget, val and test part, of the models of the first seed."""
        return self._sizes_of(cell, 0)

    def _sizes_of(self, cell: int, seed: int) -> dict[str, int]:
        """The same for the models of `seed`: forget sets of a design may differ by a sample."""
        return self.splits(cell).sizes(seed)

    def splits(self, cell: int) -> Splits:
        """The splits of a cell's models."""
        if cell not in self._splits:
            self._splits[cell] = self.keys[cell].make_splits(self.data(cell))
        return self._splits[cell]

    def data(self, cell: int) -> Digest:
        """Labels and identity of a cell's data; read or decoded where that has not been done yet."""
        if cell not in self._digests:
            self._digests[cell] = self._find(cell)
        return self._digests[cell]

    def _find(self, cell: int) -> Digest:
        config = self.sweep.cells[cell].dataset
        try:
            return digest_of(config, self.results.cache, self.progress)
        except MissingData as error:
            assumed = as_published(config) if self._only_plan else None
            if assumed is None:
                raise
            self.missing[config.name] = error
            return assumed

    # --------------------------------------------------------------------------------------------------------- states

    def state(self, task: Task) -> State:
        """Raises StoreError where what is stored for `task` is damaged."""
        if self.is_done(task):
            return "done"
        note = self.failure(task)
        if note is None or note["kind"] == "infrastructure":
            return "to do"
        return "skipped" if note["kind"] == "skipped" else "failed"

    def is_done(self, task: Task) -> bool:
        keys = self.keys[task.cell]
        if task.stage == "reference":
            assert task.seed is not None
            return self.store.find(keys.reference(role_of(task), task.seed), self.place(task)) is not None
        if task.stage == "search":
            return self.winner(task.cell, task.method) is not None or self.trials_done(task) >= self.sweep.search.trials
        if task.stage == "select":
            return self.winner(task.cell, task.method) is not None
        return self._row_stored(task)

    def _subject(self, task: Task) -> ReferenceKey | UnlearnedKey | None:
        """The model that an evaluation is about; None before its hyper-parameters are known."""
        keys, seed = self.keys[task.cell], task.seed
        assert seed is not None
        if task.method in REFERENCES:
            return keys.reference(role_of(task), seed)
        method, params = self.methods[task.method], self.params(task.cell, task.method)
        drawn = keys.report_draw(self.sweep, method, seed)
        return None if params is None else keys.unlearned(method, params, seed, drawn)

    def has_model(self, task: Task) -> bool:
        """Whether the model that an evaluation is about is stored; what is left to do is quick then."""
        subject = self._subject(task)
        return subject is not None and self.store.find(subject, self.place(task)) is not None

    def _row_stored(self, task: Task) -> bool:
        """Whether the model, its metrics and its row are all there."""
        if not self.sweep.cells[task.cell].forget.scored:
            return self.has_model(task)  # attacked all together, not scored one by one
        keys, subject = self.keys[task.cell], self._subject(task)
        if subject is None or task.seed is None:
            return False
        searched = task.method not in REFERENCES
        chosen = keys.chosen_by(self.sweep, self.methods[task.method]) if searched else None
        metrics = keys.metrics(subject, task.seed)
        place = self.place(task)
        return all(self.store.find(key, place) is not None for key in (subject, metrics, keys.row(metrics, chosen)))

    def params(self, cell: int, name: str) -> dict[str, Value] | None:
        """The hyper-parameters to evaluate with; None before they are known ("after search")."""
        method, keys = self.methods[name], self.keys[cell]
        if keys.source(self.sweep, method) == "search":
            return self.winner(cell, name)
        return keys.given(self.sweep, method)

    def winner(self, cell: int, name: str) -> dict[str, Value] | None:
        """What the search of a method has found; None before it has ended."""
        if (cell, name) not in self._winners:
            keys, method = self.keys[cell], self.methods[name]
            key, folder = self._selection(cell, name)
            entry = self.store.find(key, keys.place(name)) if folder.is_dir() else None
            if entry is None:
                return None
            self._winners[cell, name] = method.complete(entry.json("winner.json")["params"])
        return self._winners[cell, name]

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
        return len(self._trials(task))

    def trial_seconds(self, task: Task) -> list[float]:
        """Wall seconds of each finished trial of a study, scoring included."""
        durations = [trial.duration for trial in self._trials(task).values()]
        return [duration.total_seconds() for duration in durations if duration is not None]

    def _trials(self, task: Task) -> dict[int, FrozenTrial]:
        assert task.seed is not None
        keys, search = self.keys[task.cell], self.sweep.search
        return stored_trials(keys.study(self.methods[task.method], search, task.seed), keys.cell, search, self.results)

    def place(self, task: Task) -> Place:
        return self.keys[task.cell].place(task.method, task.seed)

    def failure(self, task: Task) -> dict[str, Any] | None:
        """The note of what last went wrong with `task`; earlier versions took infrastructure for failures."""
        note = self.failures.find(self.place(task), self.task_id(task))
        if note is not None and note["kind"] == "failed" and rule_of_note(note["error"], note["message"]):
            note["kind"] = "infrastructure"
        return note

    def not_run(self) -> Iterator[tuple[Task, dict[str, Any]]]:
        """The tasks that infrastructure kept from being done, with the notes of it; they are to do."""
        for task in self.tasks:
            note = self.failure(task) if self.state(task) == "to do" else None
            if note is not None:
                yield task, note

    def note(self, task: Task, kind: FailureKind, error: str, message: str, trace: str) -> None:
        """Store that `task` did not end well; where that cannot be written, say so and go on."""
        place = self.place(task)
        note = FailureNote(
            stage=task.stage,
            dataset=place.dataset,
            arch=place.arch,
            method=task.method,
            seed=task.seed,
            cell=self.keys[task.cell].cell_key.short,
            result_set=self.result_set(task),
            kind=kind,
            error=error,
            message=message,
            traceback=trace,
            date=now(),
        )
        try:
            self.failures.record(place, self.task_id(task), note)
        except OSError as problem:
            self.progress.say(f"{task.label(self.sweep)}: the note of this cannot be written: {problem}")

    def workers_at(self, task: Task) -> list[Owner]:
        """Living processes that are at `task` now; several for a search that is shared."""
        if task.stage == "search":
            assert task.seed is not None
            keys, search = self.keys[task.cell], self.sweep.search
            study = study_name(keys.study(self.methods[task.method], search, task.seed), keys.cell, search)
            return list(Claims(self.results.search / "claims" / study).held().values())
        owner = self.claims.holder(self.task_id(task))
        return [] if owner is None else [owner]

    def seconds(self, task: Task) -> float | None:
        """What a finished training or unlearning took; None of other tasks."""
        timed = task.stage == "reference" or (task.stage == "evaluate" and task.method not in REFERENCES)
        subject = self._subject(task) if timed else None
        entry = self.store.find(subject, self.place(task)) if subject is not None else None
        return None if entry is None else float(entry.meta["seconds"])

    def task_id(self, task: Task) -> str:
        """A name for `task` that another command with the same intent arrives at too."""
        keys = self.keys[task.cell]
        parts: list[Any] = [task.stage, keys.cell_key.hash, task.method, task.seed]
        if task.method not in REFERENCES:
            method = self.methods[task.method]
            parts += [method.version, keys.result_set(self.sweep, method).hash]
        digest = hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:16]
        seed = "" if task.seed is None else f"-seed{task.seed}"
        return f"{task.stage}-{task.method}{seed}-{digest}"

    def result_set(self, task: Task) -> str | None:
        """The table that rows of `task` belong to; None for references."""
        if task.method in REFERENCES:
            return None
        return self.keys[task.cell].result_set(self.sweep, self.methods[task.method]).short

    def expected_rows(self) -> list[dict[str, Any]]:
        """One entry per evaluation, references included: what the coverage table is held against."""
        return [
            {
                "result_set": self.result_set(task),
                "cell": self.keys[task.cell].cell_key.short,
                "dataset": self.sweep.cells[task.cell].dataset.name,
                "arch": self.sweep.cells[task.cell].arch.name,
                "method": task.method,
                "seed": task.seed,
            }
            for task in self.tasks
            if task.stage == "evaluate" and self.sweep.cells[task.cell].forget.scored
        ]

    def open_tasks(self) -> list[Task]:
        """What a command has to do: all that is neither done nor failed."""
        return [task for task in self.tasks if self.state(task) in ("to do", "skipped")]

    def retry(self) -> int:
        """Set the notes of failed tasks aside, so that they are to do again; how many."""
        failed = [task for task in self.tasks if self.state(task) == "failed"]
        for task in failed:
            self.failures.settle(self.place(task), self.task_id(task), "earlier")
        return len(failed)

    def counts(self) -> dict[Stage, Counter[str]]:
        """States by stage."""
        return {stage: Counter(self.state(task) for task in self.tasks if task.stage == stage) for stage in STAGES}


def role_of(task: Task) -> Role:
    """Which reference a task about one is about."""
    return "original" if task.method == "original" else "retrained"
