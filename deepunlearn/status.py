"""`python -m deepunlearn.status`: how far each sweep is, read from the store and the Optuna storage."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.doors import run_door, wants_help
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import drivers, load_sweep

USAGE = """usage: python -m deepunlearn.status [results=DIR] [--watch]

Shows, for every sweep run on these results: tasks done, failed, skipped and to do per stage, finished trials per study,
running drivers, and the last line of each failure. --watch shows it anew every 5 seconds until all is done."""
WATCH_SECONDS = 5.0


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
            remedy="run python -m deepunlearn.sweep, or give results=DIR",
        )
    finished = [_show_run(path, results) for path in runs]
    return all(finished)


def _show_run(path: Path, results: Results) -> bool:
    planner = Planner(load_sweep(path).model_copy(update={"results": str(results.root)}), Progress(quiet=True))
    print(f"{path.parent.name}: {(path.parent / 'command.txt').read_text(encoding='utf-8').strip()}")
    for line in lines(planner, path.parent):
        print(f"  {line}")
    return all(planner.state(task) != "to do" for task in planner.tasks)


def lines(planner: Planner, folder: Path) -> Iterator[str]:
    """The body of one run's status."""
    yield f"{'stage':<10} {'done':>6} {'failed':>7} {'skipped':>8} {'to do':>6}"
    for stage, states in planner.counts().items():
        yield f"{stage:<10} {states['done']:>6} {states['failed']:>7} {states['skipped']:>8} {states['to do']:>6}"
    for task in planner.tasks:
        if task.stage == "search" and 0 < (trials := planner.trials_done(task)) < planner.sweep.search.trials:
            yield f"{task.label(planner.sweep)}: {trials}/{planner.sweep.search.trials} trials"
    yield from drivers(folder)
    for task in planner.tasks:
        if planner.state(task) in ("failed", "skipped") and (note := planner.failure(task)):
            yield f"{note['kind']}: {task.label(planner.sweep)}: {note['error']}: {note['message'].splitlines()[0]}"


if __name__ == "__main__":
    sys.exit(run_door(main))
