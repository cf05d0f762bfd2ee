"""`python -m deepunlearn.status`: how far each sweep is, read from the store, the Optuna storage and SLURM's queue."""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from deepunlearn.cli import run_main, wants_help
from deepunlearn.core.errors import ConfigError, StoreError, unknown
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress, duration
from deepunlearn.launch import slurm
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import drivers, load_sweep
from deepunlearn.launch.tasks import STAGES, Stage, Task

USAGE = """usage: python -m deepunlearn.status [results=DIR] [--watch]

Shows, for every sweep run on these results: tasks done, running, failed, skipped and to do per cell and stage, the time
they took and will take, finished trials per study, SLURM's jobs, running drivers, and the last line of each failure.
Reads only; it runs on any machine that sees the results. --watch shows it anew every 5 seconds until all is done."""
WATCH_SECONDS = 5.0
STATES = ("done", "running", "failed", "skipped", "to do")


def main(arguments: Sequence[str]) -> int:
    if wants_help(arguments):
        print(USAGE)
        return 0
    results, watch = Results(Path("results")), False
    for argument in arguments:
        if argument == "--watch":
            watch = True
        elif argument.startswith("results="):
            results = Results(Path(argument.removeprefix("results=")))
        else:
            raise unknown("option", argument, ["results=DIR", "--watch", "--help"])
    while True:
        finished = show(results)
        if finished or not watch:
            return 0
        time.sleep(WATCH_SECONDS)
        print()


def show(results: Results) -> bool:
    """Print all runs; whether everything is finished."""
    runs = sorted(results.runs.glob("*/sweep.json"))
    if not runs:
        raise ConfigError(
            f"no sweep has been run with results={results.root}",
            given=str(results.root),
            allowed="a folder that a sweep was started with",
            remedy="run python -m deepunlearn.sweep --help to see how, or give results=DIR",
        )
    finished = [_show_run(path, results) for path in runs]
    return all(finished)


def _show_run(path: Path, results: Results) -> bool:
    """Print one run; whether it is finished. One of another version that cannot be read hides no other."""
    try:
        sweep = load_sweep(path)
    except StoreError as error:
        print(f"{path.parent.name}: {error}")
        return True
    planner = Planner(sweep.model_copy(update={"results": str(results.root)}), Progress(quiet=True))
    status = Status(planner, path.parent)
    print(f"{path.parent.name}: {(path.parent / 'command.txt').read_text(encoding='utf-8').strip()}")
    for line in status.lines():
        print(f"  {line}")
    sys.stdout.flush()
    return not any(state in ("to do", "running") for state in status.states.values())


class Status:
    """What is known of a run at this moment."""

    def __init__(self, planner: Planner, folder: Path) -> None:
        self.planner, self.folder = planner, folder
        self.states = {task: self._state(task) for task in planner.tasks}

    def _state(self, task: Task) -> str:
        state = self.planner.state(task)
        return "running" if state in ("to do", "skipped") and self.planner.workers_at(task) else state

    def lines(self) -> Iterator[str]:
        """The body of one run's status."""
        yield from self._stages()
        yield from self._studies()
        yield from self._queue()
        yield from drivers(self.folder)
        yield from self._failures()

    def _stages(self) -> Iterator[str]:
        """A line per cell and stage, with the median seconds of what is done and the time that the rest would take."""
        width = max(len(cell.name) for cell in self.planner.sweep.cells)
        yield f"{'cell':<{width}} {'stage':<10} {' '.join(f'{state:>7}' for state in STATES)}  median   left"
        for number, cell in enumerate(self.planner.sweep.cells):
            for stage in STAGES:
                tasks = [task for task in self.states if (task.cell, task.stage) == (number, stage)]
                if tasks:
                    counts = Counter(self.states[task] for task in tasks)
                    numbers = " ".join(f"{counts[state]:>7}" for state in STATES)
                    yield f"{cell.name:<{width}} {stage:<10} {numbers}  {self._times(stage, tasks, counts)}"

    def _times(self, stage: Stage, tasks: list[Task], counts: Counter[str]) -> str:
        """Of searches the median is that of a trial."""
        if stage == "search":
            seconds = [took for task in tasks for took in self.planner.trial_seconds(task)]
            missing = sum(self._missing_trials(task) for task in tasks if self.states[task] not in ("done", "failed"))
        else:
            seconds = [took for task in tasks if (took := self.planner.seconds(task)) is not None]
            missing = counts["to do"] + counts["running"] + counts["skipped"]
        if not seconds:
            return f"{'-':>6} {'-':>6}"
        workers = max(1, sum(len(self.planner.workers_at(task)) for task in tasks if self.states[task] == "running"))
        left = duration(missing * statistics.median(seconds) / workers) if missing else "-"
        return f"{duration(statistics.median(seconds)):>6} {left:>6}"

    def _missing_trials(self, task: Task) -> int:
        return self.planner.sweep.search.trials - self.planner.trials_done(task)

    def _studies(self) -> Iterator[str]:
        trials = self.planner.sweep.search.trials
        for task in self.states:
            if task.stage == "search" and self.states[task] != "done":
                done, workers = self.planner.trials_done(task), len(self.planner.workers_at(task))
                if done or workers:
                    yield f"{task.label(self.planner.sweep)}: {done}/{trials} trials, {workers} workers at it"

    def _queue(self) -> Iterator[str]:
        """SLURM's jobs of this run, alike ones of an array together."""
        try:
            jobs = slurm.queued(self.folder)
        except ConfigError as error:
            yield f"{error.problem}: {error.given}"
            return
        groups = Counter((one.job, one.stage, one.state, one.reason) for one in jobs)
        for (job, stage, state, reason), count in groups.items():
            why = f" ({reason})" if state == "PENDING" and reason != "None" else ""
            yield f"job {job} {stage}: {count} {state}{why}"

    def _failures(self) -> Iterator[str]:
        for task, state in self.states.items():
            if state in ("failed", "skipped", "to do") and (note := self.planner.failure(task)):
                kind = "not run" if note["kind"] == "infrastructure" else note["kind"]
                yield f"{kind}: {task.label(self.planner.sweep)}: {last_line(note)}"


def last_line(note: dict[str, str]) -> str:
    """The last line of a failure's traceback, or its message."""
    lines = note["traceback"].strip().splitlines()
    own = f"{note['error']}: {note['message'].splitlines()[0]}"
    return lines[-1] if lines and not lines[-1].startswith(" ") else own


if __name__ == "__main__":
    sys.exit(run_main(main))
