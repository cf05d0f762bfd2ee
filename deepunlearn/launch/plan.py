"""A sweep's plan: its tasks, how far each is, and what has failed. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from deepunlearn.core.errors import MeasureFailed
from deepunlearn.core.identity import canonical_json
from deepunlearn.core.infrastructure import rule_of_note
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.store import EARLIER_ROUND, FailureKind, FailureNote, Failures, now
from deepunlearn.launch.states import StoredStates
from deepunlearn.launch.task import STAGES, Stage, State, Task, evaluation_of


class Planner(StoredStates):
    """Knows the tasks of a sweep, what the store already has, and the notes of what did not end well."""

    def __init__(self, sweep: SweepConfig, progress: Progress, *, only_plan: bool = False) -> None:
        super().__init__(sweep, progress, only_plan=only_plan)
        self.failures = Failures(self.results.store)

    def state(self, task: Task) -> State:
        """Raises StoreError where what is stored for `task` is damaged."""
        if self.is_done(task):
            return "done"
        note = self.failure(task)
        if note is None or note["kind"] == "infrastructure":
            return "to do"
        held_up = note["kind"] == "skipped" or note["error"] == EARLIER_ROUND
        return "skipped" if held_up else "failed"

    def failure(self, task: Task) -> dict[str, Any] | None:
        """The note of what last went wrong with `task`; earlier versions took infrastructure for failures.

        None where measures failed and others lack now: of a new version or code, or added since. Earlier versions
        measured while they evaluated, and noted under that what failed. None too where a method failed with other
        hyper-parameters than it would have now, as their file or its defaults were changed.
        """
        note = next((note for _, note in self._notes(task)), None)
        if note is not None and note.get("hparams") not in (None, self._hparams(task)):
            return None
        if note is not None and note["error"] == MeasureFailed.__name__:
            return note if all(_is_told_of(one, note["message"]) for one in self.lacking(task)) else None
        if note is not None and note["kind"] == "failed" and rule_of_note(note["error"], note["message"]):
            note["kind"] = "infrastructure"
        return note

    def _hparams(self, task: Task) -> str | None:
        """What a method is evaluated with, as JSON; None of other tasks, and before it is known."""
        evaluated = task.stage == "evaluate" and task.method in self.methods
        params = self.params(task.cell, task.method) if evaluated else None
        return None if params is None else canonical_json(params)

    def not_run(self) -> Iterator[tuple[Task, dict[str, Any]]]:
        """The tasks that infrastructure kept from being done, with the notes of it; they are to do."""
        for task in self.tasks:
            note = self.failure(task) if self.state(task) == "to do" else None
            if note is not None:
                yield task, note

    def note(self, task: Task, kind: FailureKind, error: str, message: str, trace: str, *, trials: str = "") -> None:
        """Store that `task` did not end well; where that cannot be written, say so and go on.

        trials: those of a search that found nothing, as CSV.
        """
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
            hparams=self._hparams(task),
        )
        try:
            self.failures.record(place, self.task_id(task), note, trials)
        except OSError as problem:
            self.progress.say(f"{task.label(self.sweep)}: the note of this cannot be written: {problem}")

    def open_tasks(self) -> list[Task]:
        """What a command has to do: all that is neither done nor failed."""
        return [task for task in self.tasks if self.state(task) in ("to do", "skipped")]

    def retry(self) -> int:
        """Set the notes of failed tasks aside, so that they are to do again; how many."""
        failed = [task for task in self.tasks if self.state(task) == "failed"]
        for task in failed:
            self.settle(task, "earlier")
        return len(failed)

    def settle(self, task: Task, outcome: Literal["earlier", "overcome"]) -> None:
        """Set the notes of `task` aside: it is about to be tried again, or was overcome."""
        for one, _ in list(self._notes(task)):
            self.failures.settle(self.place(task), self.task_id(one), outcome)

    def _notes(self, task: Task) -> Iterator[tuple[Task, dict[str, Any]]]:
        """What went wrong with `task`, each with the task that it is noted under."""
        for one in [task, evaluation_of(task)] if task.stage == "measure" else [task]:
            note = self.failures.find(self.place(task), self.task_id(one))
            of_measures = note is not None and note["error"] == MeasureFailed.__name__
            if note is not None and (task.stage == "measure" if of_measures else one == task):
                yield one, note

    def counts(self) -> dict[Stage, Counter[str]]:
        """States by stage."""
        return {stage: Counter(self.state(task) for task in self.tasks if task.stage == stage) for stage in STAGES}


def _is_told_of(measure: Measure, message: str) -> bool:
    """Whether the message of a note says why `measure` failed: others may have a name, or a version, that ends so."""
    return any(line.startswith(f"measure {measure.label}: ") for line in message.splitlines())
