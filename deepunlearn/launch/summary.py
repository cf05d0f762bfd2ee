"""What a sweep says at its end, short enough for a mail: how its tasks ended, the main scores, what to do next."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deepunlearn.core.words import number_of
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import Task

FILE = "summary.txt"  # in the run's folder
SCORES = ("RetDev", "Indisc", "RTE")  # docs/protocol.md says what they are
MOST_LINES = 20  # of scores, and of failures: a mail is read on one screen


def summary(planner: Planner, folder: Path) -> str:
    """The text, which is the same for a terminal and a file."""
    states = {task: planner.state(task) for task in planner.tasks}
    counts = Counter(states.values())
    bad = [task for task, state in states.items() if state in ("failed", "skipped")]
    not_run = list(planner.not_run())
    lines = [
        f"{folder.name}: " + ", ".join(f"{count} {state}" for state, count in counts.items()),
        *_shortened(_scores(planner), "tables show them"),
        *_shortened([_failure(planner, task) for task in bad], "status lists them"),
        *_shortened([_reason(planner, task, note) for task, note in not_run], "status lists them"),
        f"hyper-parameters: {folder / 'hparams.yaml'}",
        f"tables: python -m deepunlearn.tables results={planner.sweep.results}",
    ]
    if bad:
        lines.append(
            "failed tasks run again with retry_failed=true; their tracebacks are in the store's failures folders"
        )
    if not_run:
        lines.append("what was not run is no failure of its method; the same command runs it again")
    return "\n".join(lines) + "\n"


def _shortened(lines: Sequence[str], where: str) -> Iterator[str]:
    """The first of many; `where` the others are to be seen."""
    yield from lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        yield f"  and {len(lines) - MOST_LINES} more; {where}"


def _scores(planner: Planner) -> list[str]:
    """A line for each cell and method that has rows: means over its report seeds, with standard deviations."""
    found = []
    for cell, config in enumerate(planner.sweep.cells):
        for method in planner.methods:
            tasks = [one for one in planner.tasks if (one.stage, one.cell, one.method) == ("evaluate", cell, method)]
            rows = [row for one in tasks if (row := planner.row(one)) is not None]
            if rows:
                found.append(
                    (f"{config.name} {method}", [_mean(rows, score) for score in SCORES], number_of(len(rows), "seed"))
                )
    if not found:
        return []
    width = max(len(name) for name, *_ in found)
    head = f"  {'means over seeds':<{width}}  " + "  ".join(f"{score:>13}" for score in SCORES)
    return [head, *(f"  {name:<{width}}  {'  '.join(values)}  {seeds}" for name, values, seeds in found)]


def _mean(rows: Iterable[dict[str, Any]], score: str) -> str:
    values = [float(row[score]) for row in rows if row.get(score) is not None]
    if not values:
        return f"{'n/a':>13}"
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{f'{statistics.mean(values):.3f}{spread}':>13}"


def _failure(planner: Planner, task: Task) -> str:
    note = planner.failure(task)
    assert note is not None
    return f"  {note['kind']}: {task.label(planner.sweep)}: {note['message'].splitlines()[0]}"


def _reason(planner: Planner, task: Task, note: dict[str, Any]) -> str:
    return f"  not run: {task.label(planner.sweep)}: {note['error']}: {note['message']}"
