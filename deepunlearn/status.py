"""`python -m deepunlearn.status`: how far each sweep is, read from the store, the Optuna storage and SLURM's queue."""

from __future__ import annotations

import re
import shutil
import statistics
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

from deepunlearn.cli import run_main, wants_help
from deepunlearn.core.errors import ConfigError, DeepUnlearnError, unknown
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress, duration
from deepunlearn.core.store import now
from deepunlearn.core.validation import Frozen, refuse_repeats
from deepunlearn.launch import slurm
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import Driver, command_of, drivers, load_sweep
from deepunlearn.launch.task import STAGES, Stage, Task

USAGE = """usage: python -m deepunlearn.status [results=DIR] [--watch | --json]

Shows, for every sweep run on these results: tasks done, running, failed, skipped and to do per cell and stage, the time
they took and will take, finished trials per study, SLURM's jobs, running drivers, and the last line of each failure.
Reads only; it runs on any machine that sees the results. --watch shows it anew every 5 seconds until all is done.
--json prints the same once for programs, as one JSON object; docs/results.md says what its fields are."""
WATCH_SECONDS = 5.0
STATES = ("done", "running", "failed", "skipped", "to do")
INDENT = "  "  # of all lines of a sweep behind its first
STAGE_WIDTH = 10
SCHEMA = 1  # of --json: grows when a field changes its meaning or goes; new fields may come


class StageStatus(Frozen):
    """How far a stage of a cell is. Of searches the median is that of a trial; null: nothing is known yet."""

    cell: str
    stage: str
    done: int
    running: int
    failed: int
    skipped: int
    to_do: int
    median_seconds: float | None
    left_seconds: float | None

    @property
    def counts(self) -> dict[str, int]:
        """The tasks in each state."""
        return dict(zip(STATES, (self.done, self.running, self.failed, self.skipped, self.to_do), strict=True))

    @property
    def median(self) -> str:
        return "-" if self.median_seconds is None else duration(self.median_seconds)

    @property
    def left(self) -> str:
        return duration(self.left_seconds) if self.left_seconds else "-"

    def line(self, width: int) -> str:
        """A row of the table, whose first column has this width."""
        numbers = " ".join(f"{count:>7}" for count in self.counts.values())
        return f"{self.cell:<{width}} {self.stage:<{STAGE_WIDTH}} {numbers}  {self.median:>6} {self.left:>6}"

    @property
    def words(self) -> str:
        """The same without the cell, for what is narrower than the table: nothing that is zero or not known."""
        counts = [f"{count} {state}" for state, count in self.counts.items() if count]
        times = [f"{name} {said}" for name, said in (("median", self.median), ("left", self.left)) if said != "-"]
        return f"{self.stage:<{STAGE_WIDTH}} {', '.join([*counts, *times])}"


def _wrapped(line: str, columns: int) -> list[str]:
    """A stage in words, in lines that end behind a comma."""
    bound = re.sub("(?<!,) ", "\0", line)
    lines = textwrap.wrap(bound, columns, subsequent_indent=f"{INDENT}{' ' * STAGE_WIDTH} ", break_long_words=False)
    return [one.replace("\0", " ") for one in lines]


class StudyStatus(Frozen):
    """A search that is not done."""

    task: str
    trials_done: int
    trials: int
    workers: int

    @property
    def line(self) -> str:
        return f"{self.task}: {self.trials_done}/{self.trials} trials, {self.workers} workers at it"


class JobStatus(Frozen):
    """Jobs of an array of SLURM that are alike."""

    job: str
    stage: str
    state: str
    reason: str
    count: int

    @property
    def line(self) -> str:
        why = f" ({self.reason})" if self.state == "PENDING" and self.reason != "None" else ""
        return f"job {self.job} {self.stage}: {self.count} {self.state}{why}"


class DriverStatus(Frozen):
    """A process that runs this sweep; gone: it died, and the command goes on if run again."""

    since: str
    pid: int
    host: str
    gone: bool


class FailureStatus(Frozen):
    """What did not end well. kind: failed, not_applicable, skipped, ...; infrastructure: not run, no method's fault."""

    kind: str
    task: str
    message: str

    @property
    def line(self) -> str:
        return f"{'not run' if self.kind == 'infrastructure' else self.kind}: {self.task}: {self.message}"


class RunStatus(Frozen):
    """One sweep. problem: why nothing is known of it; queue_problem: why SLURM's queue is not."""

    name: str
    command: str
    finished: bool
    stages: tuple[StageStatus, ...] = ()
    studies: tuple[StudyStatus, ...] = ()
    jobs: tuple[JobStatus, ...] = ()
    queue_problem: str | None = None
    drivers: tuple[DriverStatus, ...] = ()
    failures: tuple[FailureStatus, ...] = ()
    problem: str | None = None

    def lines(self, columns: int | None = None) -> Iterator[str]:
        """For people. columns: of their terminal, into which the table of stages is brought; null: of any width."""
        if self.problem is not None:
            yield f"{self.name}: {self.problem}"
            return
        yield f"{self.name}: {self.command}"
        yield from (f"{INDENT}{line}" for line in self._body(columns))

    def _body(self, columns: int | None) -> Iterator[str]:
        table = self._table()
        if columns is not None and columns < len(INDENT) + max(map(len, table)):
            yield from self._narrow(columns - len(INDENT))
        else:
            yield from table
        yield from (one.line for one in self.studies)
        if self.queue_problem is not None:
            yield self.queue_problem
        yield from (one.line for one in self.jobs)
        yield from (Driver(**one.model_dump()).line for one in self.drivers)
        yield from (one.line for one in self.failures)

    def _table(self) -> list[str]:
        """A row for each stage of each cell."""
        width = max(len(one.cell) for one in self.stages)
        states = " ".join(f"{state:>7}" for state in STATES)
        head = f"{'cell':<{width}} {'stage':<{STAGE_WIDTH}} {states}  median   left"
        return [head, *(one.line(width) for one in self.stages)]

    def _narrow(self, columns: int) -> Iterator[str]:
        """The same where the table is too wide: the name of each cell, and its stages in words below."""
        for cell, stages in groupby(self.stages, key=lambda one: one.cell):
            yield cell
            yield from (line for one in stages for line in _wrapped(f"{INDENT}{one.words}", columns))


class ResultsStatus(Frozen):
    """All sweeps of a results folder, at a moment (UTC)."""

    schema_version: int
    results: str
    date: str
    finished: bool
    runs: tuple[RunStatus, ...]


def main(arguments: Sequence[str]) -> int:
    if wants_help(arguments):
        print(USAGE)
        return 0
    asked = read(arguments)
    while True:
        status = read_status(asked.results)
        print(status.model_dump_json(indent=1) if asked.as_json else _shown(status))
        if status.finished or not asked.watch:
            return 0
        sys.stdout.flush()
        time.sleep(WATCH_SECONDS)
        print()


class Asked(NamedTuple):
    results: Results
    watch: bool
    as_json: bool


def read(arguments: Sequence[str]) -> Asked:
    """What a command asks for. Raises ConfigError for an unknown option, or two that do not go together."""
    refuse_repeats(arguments)
    results = Results(Path("results"))
    for argument in arguments:
        if argument.startswith("results="):
            results = Results(Path(argument.removeprefix("results=")))
        elif argument not in ("--watch", "--json"):
            raise unknown("option", argument, ["results=DIR", "--watch", "--json", "--help"])
    asked = Asked(results, "--watch" in arguments, "--json" in arguments)
    if asked.watch and asked.as_json:
        raise ConfigError(
            "--json is one look and cannot watch",
            given="--watch --json",
            allowed="one of them",
            remedy="run status --json again when you want to know more",
        )
    return asked


def _shown(status: ResultsStatus) -> str:
    """For people, as wide as their terminal is now; what goes into a file or another program has its whole table."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return "\n".join(chain(*(run.lines(columns) for run in status.runs)))


def read_status(results: Results) -> ResultsStatus:
    """What is known of all runs at this moment. Raises ConfigError where there are none."""
    runs = sorted(results.runs.glob("*/sweep.json"))
    if not runs:
        raise ConfigError(
            f"no sweep has been run with results={results.root}",
            given=str(results.root),
            allowed="a folder that a sweep was started with",
            remedy="run python -m deepunlearn.sweep --help to see how, or give results=DIR",
        )
    read = tuple(_read_run(path, results) for path in runs)
    return ResultsStatus(
        schema_version=SCHEMA,
        results=str(results.root),
        date=now(),
        finished=all(run.finished for run in read),
        runs=read,
    )


def _read_run(path: Path, results: Results) -> RunStatus:
    """One run. One that cannot be read hides no other, and is not waited for.

    It may be of another version, or have its data or its storage on another machine, or a damaged entry.
    """
    try:
        sweep = load_sweep(path).model_copy(update={"results": str(results.root)})
        return Status(Planner(sweep, Progress(quiet=True)), path.parent).read()
    except DeepUnlearnError as error:
        return RunStatus(name=path.parent.name, command=command_of(path.parent), finished=True, problem=str(error))


class Status:
    """What is known of a run at this moment."""

    def __init__(self, planner: Planner, folder: Path) -> None:
        self.planner, self.folder = planner, folder
        self.states = {task: self._state(task) for task in planner.tasks}

    def _state(self, task: Task) -> str:
        state = self.planner.state(task)
        return "running" if state in ("to do", "skipped") and self.planner.workers_at(task) else state

    def read(self) -> RunStatus:
        """All of it."""
        jobs, queue_problem = self._queue()
        return RunStatus(
            name=self.folder.name,
            command=command_of(self.folder),
            finished=not any(state in ("to do", "running") for state in self.states.values()),
            stages=tuple(self._stages()),
            studies=tuple(self._studies()),
            jobs=tuple(jobs),
            queue_problem=queue_problem,
            drivers=tuple(DriverStatus(**one._asdict()) for one in drivers(self.folder)),
            failures=tuple(self._failures()),
        )

    def _stages(self) -> Iterator[StageStatus]:
        """Of each cell and stage, with the median seconds of what is done and the time that the rest would take."""
        for number, cell in enumerate(self.planner.sweep.cells):
            for stage in STAGES:
                tasks = [task for task in self.states if (task.cell, task.stage) == (number, stage)]
                if tasks:
                    counts = Counter(self.states[task] for task in tasks)
                    median, left = self._times(stage, tasks, counts)
                    yield StageStatus(
                        cell=cell.name,
                        stage=stage,
                        **{state.replace(" ", "_"): counts[state] for state in STATES},
                        median_seconds=median,
                        left_seconds=left,
                    )

    def _times(self, stage: Stage, tasks: list[Task], counts: Counter[str]) -> tuple[float | None, float | None]:
        """The median seconds of a task, of searches of a trial, and those that the rest would take; null: unknown."""
        if stage == "search":
            seconds = [took for task in tasks for took in self.planner.trial_seconds(task)]
            missing = sum(self._missing_trials(task) for task in tasks if self.states[task] not in ("done", "failed"))
        else:
            seconds = [took for task in tasks if (took := self.planner.seconds(task)) is not None]
            missing = counts["to do"] + counts["running"] + counts["skipped"]
        if not seconds:
            return None, None
        workers = max(1, sum(len(self.planner.workers_at(task)) for task in tasks if self.states[task] == "running"))
        return statistics.median(seconds), missing * statistics.median(seconds) / workers

    def _missing_trials(self, task: Task) -> int:
        return self.planner.trials_missing(task)

    def _studies(self) -> Iterator[StudyStatus]:
        trials = self.planner.sweep.search.trials
        for task in self.states:
            if task.stage == "search" and self.states[task] != "done":
                done, workers = self.planner.trials_done(task), len(self.planner.workers_at(task))
                if done or workers:
                    label = task.label(self.planner.sweep)
                    yield StudyStatus(task=label, trials_done=done, trials=trials, workers=workers)

    def _queue(self) -> tuple[list[JobStatus], str | None]:
        """SLURM's jobs of this run, alike ones of an array together; or why they are not known."""
        try:
            jobs = slurm.queued(self.folder)
        except ConfigError as error:
            return [], f"{error.problem}: {error.given}"
        groups = Counter((one.job, one.stage, one.state, one.reason) for one in jobs)
        return [
            JobStatus(job=job, stage=stage, state=state, reason=str(reason), count=count)
            for (job, stage, state, reason), count in groups.items()
        ], None

    def _failures(self) -> Iterator[FailureStatus]:
        for task, state in self.states.items():
            if state in ("failed", "skipped", "to do") and (note := self.planner.failure(task)):
                yield FailureStatus(kind=note["kind"], task=task.label(self.planner.sweep), message=last_line(note))


def last_line(note: dict[str, str]) -> str:
    """The last line of a failure's traceback, or its message."""
    lines = note["traceback"].strip().splitlines()
    own = f"{note['error']}: {note['message'].splitlines()[0]}"
    return lines[-1] if lines and not lines[-1].startswith(" ") else own


if __name__ == "__main__":
    sys.exit(run_main(main))
