"""What a sweep says at its end, short enough for a mail: how its tasks ended, the main scores, what to do next."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

from deepunlearn.core.words import number_of
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import Task

FILE = "summary.txt"  # in the run's folder
REMEDY = re.compile(r"^ *remedy: +", re.MULTILINE)  # where messages have it, mostly as their last line
SCORES = ("RetDev", "Indisc", "RTE")  # docs/protocol.md says what they are
NEXT_LINE = "\n      "  # of an ending
MOST_LINES = 20  # of scores, and of failures: a mail is read on one screen


class Reason(NamedTuple):
    """Why a task did not end well. task: that, and what became of it; message: of one line or several."""

    task: str
    message: str

    @property
    def endings(self) -> list[str]:
        """What follows the first line: what was given and allowed, and the remedy, which others may have too."""
        _, _, rest = self.message.partition("\n")
        details, *remedy = REMEDY.split(rest, maxsplit=1)
        texts = (dedent(details), *(f"remedy: {one}" for one in remedy))
        return [text.rstrip() for text in texts if text.strip()]


def summary(planner: Planner, folder: Path) -> str:
    """The text, which is the same for a terminal and a file."""
    states = {task: planner.state(task) for task in planner.tasks}
    counts = Counter(states.values())
    bad = [task for task, state in states.items() if state in ("failed", "skipped")]
    not_run, scores = list(planner.not_run()), _scores(planner)
    endings: dict[str, int] = {}  # of the reasons that are told, by number
    lines = [
        f"{folder.name}: " + ", ".join(f"{count} {state}" for state, count in counts.items()),
        *scores[:MOST_LINES],
        *_more(scores, "tables show them"),
        *_told([_failure(planner, task) for task in bad], endings),
        *_told([_not_run(planner, task, note) for task, note in not_run], endings),
        *(f"  [{number}] {text.replace(chr(10), NEXT_LINE)}" for text, number in endings.items()),
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


def _more(listed: Sequence[object], where: str) -> Iterator[str]:
    """How many of many are not shown, and `where` they are to be seen."""
    if len(listed) > MOST_LINES:
        yield f"  and {len(listed) - MOST_LINES} more; {where}"


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


def _failure(planner: Planner, task: Task) -> Reason:
    note = planner.failure(task)
    assert note is not None
    return Reason(f"{note['kind']}: {task.label(planner.sweep)}", note["message"])


def _not_run(planner: Planner, task: Task, note: dict[str, Any]) -> Reason:
    return Reason(f"not run: {task.label(planner.sweep)}: {note['error']}", note["message"])


def _told(reasons: list[Reason], endings: dict[str, int]) -> Iterator[str]:
    """A line for each, with the numbers of its endings: a remedy of many tasks is to be said once."""
    shown = reasons if len(reasons) <= MOST_LINES else _new_first(reasons)[:MOST_LINES]
    for reason in shown:
        numbers = [endings.setdefault(text, len(endings) + 1) for text in reason.endings]
        marks = "".join(f" [{number}]" for number in numbers)
        yield f"  {reason.task}: {reason.message.partition(chr(10))[0]}{marks}"
    yield from _more(reasons, "status lists them")


def _new_first(reasons: list[Reason]) -> list[Reason]:
    """Before the others those that are the first with their remedy, so that none is lost where a list is cut."""
    first: dict[str, Reason] = {}
    for reason in reasons:
        first.setdefault("".join(reason.endings[-1:]), reason)
    chosen = set(first.values())
    return [*first.values(), *(reason for reason in reasons if reason not in chosen)]
