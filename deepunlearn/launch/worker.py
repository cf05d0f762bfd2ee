"""Does tasks: the one path by which anything is computed, on whatever machine."""

from __future__ import annotations

import gc
import importlib
import time
from collections import Counter
from collections.abc import Callable

from deepunlearn.cells import REFERENCES
from deepunlearn.core import stopping
from deepunlearn.core.errors import DataError, NotApplicable
from deepunlearn.core.infrastructure import infrastructure
from deepunlearn.core.progress import Bar, Progress
from deepunlearn.core.store import EARLIER_ROUND, FailureKind, describe_error
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import State, Task, role_of
from deepunlearn.launch.tracking import Tracking
from deepunlearn.runtime import Runtime
from deepunlearn.search.selection import SearchFailed, select, study_of
from deepunlearn.stages.evaluation import Experiment

LOOK_AGAIN_SECONDS = 2.0  # at what another process does
_SAID = {"infrastructure": "NOT RUN"}


class Worker:
    """Runs tasks of a plan one after another, each to a stored result or a stored failure.

    seconds: what a task would take, as estimated; None: nobody has estimated it.
    """

    def __init__(
        self,
        planner: Planner,
        runtime: Runtime,
        progress: Progress,
        seconds: Callable[[Task], float] | None = None,
    ) -> None:
        self.planner, self.runtime, self.progress, self._seconds = planner, runtime, progress, seconds
        self.tracking = Tracking(planner, progress)
        self._latest: tuple[int, Experiment] | None = None

    def experiment(self, cell: int) -> Experiment:
        """What computes for a cell, kept until another one is asked for: tasks come cell by cell.

        The one before goes first. It refers to itself, so that its data would stay until Python looks for such things.
        """
        if self._latest is None or self._latest[0] != cell:
            self._latest = None
            gc.collect()
            self._latest = cell, self._experiment(cell)
        return self._latest[1]

    def _experiment(self, cell: int) -> Experiment:
        config = self.planner.sweep.cells[cell]
        module, name = config.forget.computed_by.split(":")
        kind: type[Experiment] = getattr(importlib.import_module(module), name)
        return kind(config, self.planner.results, self.runtime, self.progress)

    def run(self, tasks: list[Task]) -> Counter[State]:
        """Do `tasks` in their order; one that fails stops only those that need it.

        Tasks that another process is at are waited for, and taken over if it dies. Raises Stopped between two tasks, or
        within one, where this process was asked to stop.
        """
        if not tasks or tasks[0].stage != "measure":
            return Counter(self.run_task(task) for task in tasks)
        # other stages show what they do themselves; some measures take their time on one seed of a method alone
        seconds = None if self._seconds is None else list(map(self._seconds, tasks))
        with self.progress.bar("measure: model", len(tasks), seconds) as bar:
            return Counter(self._shown(task, bar) for task in tasks)

    def _shown(self, task: Task, bar: Bar) -> State:
        state = self.run_task(task)
        bar.advance()
        return state

    def run_task(self, task: Task) -> State:
        """The state of `task` afterwards; "to do" where infrastructure kept it from being done."""
        state = self._ended(task)
        self.tracking.follow(task)
        return state

    def _ended(self, task: Task) -> State:
        try:
            return self._until_settled(task)
        except Exception as error:  # e.g. a claim that cannot be written on a full disk
            if infrastructure(error) is None:
                raise
            return self._ended_by(error, task)
        finally:
            self.progress.ended(task, (task.cell, task.stage))

    def _until_settled(self, task: Task) -> State:
        waiting = False
        while (state := self._try(task)) is None:
            if not waiting:
                self.progress.say(f"{task.label(self.planner.sweep)}: another process is at it; waiting")
            waiting = True
            stopping.check()
            time.sleep(LOOK_AGAIN_SECONDS)
        return state

    def _try(self, task: Task) -> State | None:
        """Do `task` unless it is done or has failed; None where another process holds what is left of it."""
        stopping.check()
        planner = self.planner
        if (state := planner.state(task)) in ("done", "failed"):
            return state
        blocking = next((one for one in planner.inputs(task) if not planner.is_done(one)), None)
        if blocking is not None:
            if planner.workers_at(blocking):
                return None
            return self._try(task) if planner.has_come(blocking) else self._held_up_by(blocking, task)
        if task.stage == "search":
            return self._attempt(task)  # its slots are claimed one by one, so that workers can share it
        if not planner.claims.take(planner.task_id(task)):
            return None
        try:
            return "done" if planner.has_come(task) else self._attempt(task)
        finally:
            planner.claims.release(planner.task_id(task))

    def _held_up_by(self, blocking: Task, task: Task) -> State:
        """Note that `task` lacks `blocking`: for good where that failed, for now where it could not be run."""
        planner = self.planner
        needed = f"needs {blocking.label(planner.sweep)} ({planner.task_id(blocking)})"
        if planner.state(blocking) == "to do":
            planner.note(task, "infrastructure", "InputMissing", f"{needed}, which was not run", "")
            return "to do"
        if blocking.cell == planner.before(task.cell):
            planner.note(task, *self._why_not_reached(blocking), "")
            return "skipped"
        note = planner.failure(blocking)
        if note is not None and note["error"] == EARLIER_ROUND:  # a search, or what it has chosen
            planner.note(task, note["kind"], note["error"], note["message"], "")
            return "skipped"
        note = note if blocking.stage == "record" else None
        if note is not None and note["kind"] == "not_applicable":  # of the method as a whole, and why
            planner.note(task, "not_applicable", note["error"], note["message"], note["traceback"])
            return "failed"
        planner.note(task, "skipped", "InputMissing", f"{needed}, which is not there", "")
        return "skipped"

    def _why_not_reached(self, blocking: Task) -> tuple[FailureKind, str, str]:
        """What kept the method from getting past an earlier round: kind, error, and the message in one line.

        A method that cannot be applied in a round cannot be applied to what comes after it either; no failure of it.
        """
        note = self.planner.failure(blocking)
        kind: FailureKind = "not_applicable" if note and note["kind"] == "not_applicable" else "not_reached"
        if note is not None and note["error"] == EARLIER_ROUND:
            return kind, EARLIER_ROUND, str(note["message"])
        why = "it is not there" if note is None else f"{note['error']}: {note['message'].splitlines()[0]}"
        return kind, EARLIER_ROUND, f"round {self.planner.round_of(blocking.cell)} did not end well: {why}"

    def _ended_by(self, error: Exception, task: Task) -> State:
        """Store why `task` is not done, with the traceback: it is a result of the sweep, not its end."""
        kind, (name, message, trace) = _kind(error), describe_error(error)
        rule = infrastructure(error) if kind == "infrastructure" else None
        if rule is not None and rule.remedy:
            message = f"{message}\n  remedy:  {rule.remedy}"
        trials = error.trials if isinstance(error, SearchFailed) else ""
        self.planner.note(task, kind, name, message, trace, trials=trials)
        self.progress.say(f"{_SAID.get(kind, kind.upper())}: {task.label(self.planner.sweep)}: {message}")
        return "failed" if rule is None else "to do"

    def _attempt(self, task: Task) -> State | None:
        try:
            self._perform(task)
        except Exception as error:
            return self._ended_by(error, task)
        if task.stage == "search" and not self.planner.is_done(task):
            return None  # other workers are at its last slots
        self.planner.settle(task, "overcome")
        return "done"

    def _perform(self, task: Task) -> None:
        experiment, sweep = self.experiment(task.cell), self.planner.sweep
        self._refuse_other_data(experiment, task.cell)
        if task.stage == "select":
            select(experiment, sweep, self.planner.methods[task.method])
            return
        if task.seed is None:
            self._perform_on_group(experiment, task)
        elif task.stage == "search":
            study_of(experiment, sweep, self.planner.methods[task.method], task.seed).run()
        elif task.stage == "confidence":
            experiment.confidence(task.seed)
        elif task.stage == "record":
            experiment.record(self.planner.record_key(task), task.seed)
        elif task.stage == "reference":
            experiment.reference(role_of(task), task.seed)
        elif task.method in REFERENCES:
            self._perform_on_reference(experiment, task, task.seed)
        else:
            params = self.planner.params(task.cell, task.method)
            assert params is not None
            made = experiment.measure if task.stage == "measure" else experiment.evaluate
            made(sweep, self.planner.methods[task.method], params, task.seed)

    def _perform_on_group(self, experiment: Experiment, task: Task) -> None:
        group = self.planner.group(task)
        assert group is not None, "its inputs are done"
        experiment.measure_group(task.method, *group, self.planner.measures_over_seeds)

    def _perform_on_reference(self, experiment: Experiment, task: Task, seed: int) -> None:
        if task.stage == "measure":
            experiment.measure_reference(role_of(task), seed, self.planner.measures_of(task.method))
        else:
            experiment.reference_row(role_of(task), seed)

    def _refuse_other_data(self, experiment: Experiment, cell: int) -> None:
        """Results are stored under the images' content: that of others would not be what was planned."""
        if experiment.keys.split != self.planner.keys[cell].split:
            raise DataError(
                f"the dataset of {experiment.cell.name} has changed since this was planned",
                given=f"content {experiment.keys.split.data_digest[:16]}",
                allowed=f"content {self.planner.keys[cell].split.data_digest[:16]}, as planned",
                remedy="run the same command again, which plans anew",
            )


def _kind(error: Exception) -> FailureKind:
    if isinstance(error, NotApplicable):
        return "not_applicable"
    if isinstance(error, SearchFailed):
        return "search_failed"
    return "failed" if infrastructure(error) is None else "infrastructure"
