"""Progress for people: a live view with bars on a terminal or in a notebook, plain log lines elsewhere.

Goes to standard error.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from deepunlearn.core.notebook import Picture, has_widgets, is_cell
from deepunlearn.core.words import number_of

LOG_SECONDS = 10.0  # least time between two log lines of one bar
CELL_SECONDS = 60.0  # the same in a notebook, which keeps all lines, and whose page people read
NARROWEST = 60  # columns of a terminal that the live view fits into
MOST_CELLS = 12  # rows of it
NOTEBOOK = "JPY_PARENT_PID"  # set where a notebook's kernel runs commands, on a terminal that nobody sees
HINT = "a live view in this cell needs ipywidgets: pip install 'deepunlearn[notebook]', and load this page anew"
Part = tuple[int, str]  # the number of a cell, and a stage


class Board:
    """How far a sweep is: tasks that have ended, of all tasks, by cell and stage.

    total, ended: numbers of tasks; seconds: what each that has not ended would take, as estimated.
    """

    def __init__(
        self,
        cells: Sequence[str],
        total: Mapping[Part, int],
        ended: Mapping[Part, int],
        seconds: Mapping[Any, float],
    ) -> None:
        self.cells, self.total, self.ended, self.workers = cells, total, Counter(ended), 1
        self._seconds, self._open, self._performed = seconds, sum(seconds.values()), 0.0
        self._known: set[Hashable] = set()
        self._started = time.monotonic()

    def end(self, task: Hashable, part: Part) -> None:
        """A task has ended; of a search that workers share each says so."""
        if task not in self._known and self.ended[part] < self.total.get(part, 0):
            self._known.add(task)
            self.ended[part] += 1
            self._performed += self._seconds.get(task, 0.0)

    def left(self, elapsed: float) -> float | None:
        """Seconds until the end, at the pace so far; None before there is one."""
        return at_this_pace(elapsed, self._performed, self._open)

    def table(self) -> RenderableType:
        """Cells down, stages across, and below it the workers and the time."""
        stages = list(dict.fromkeys(stage for _, stage in self.total))
        open_cells = [cell for cell in range(len(self.cells)) if any(self._waiting((cell, one)) for one in stages)]
        elapsed = time.monotonic() - self._started
        left = self.left(elapsed)
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("cell", *stages):
            table.add_column(name, justify="left" if name == "cell" else "right", no_wrap=True)
        for cell in open_cells[:MOST_CELLS]:
            table.add_row(self.cells[cell], *(self._shown((cell, one)) for one in stages))
        more = [f"{len(open_cells) - MOST_CELLS} more cells"] if len(open_cells) > MOST_CELLS else []
        workers = number_of(self.workers, "worker")
        said = (*more, workers, duration(elapsed), f"left: {'?' if left is None else duration(left)}")
        return Group(table, Text(", ".join(said)))

    def _waiting(self, part: Part) -> bool:
        return self.ended[part] < self.total.get(part, 0)

    def _shown(self, part: Part) -> str:
        return f"{self.ended[part]}/{self.total[part]}" if part in self.total else "-"


class LiveView(RichProgress):
    """On a terminal: the bars of what is under way, below the board of the sweep where there is one."""

    def __init__(self, stream: TextIO, board: Board | None) -> None:
        self.stream, self.board = stream, board
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left: {task.fields[left]}"),
            TextColumn("{task.fields[note]}"),
        )
        super().__init__(*columns, console=Console(file=stream), transient=True)

    def get_renderables(self) -> Iterator[RenderableType]:
        if self.board is not None:
            yield self.board.table()
        yield self.make_tasks_table(self.tasks)

    def say(self, line: str) -> None:
        """A line above it."""
        self.console.print(line, markup=False, highlight=False)


class CellView(LiveView):
    """The same in a notebook, where lines come below it."""

    def start(self) -> None:
        self._picture = Picture(self.get_renderable)
        self._picture.start()

    def stop(self) -> None:
        self._picture.stop()

    def say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


class Bar:
    """One activity under way, e.g. a training with its epochs.

    seconds: what each of its steps would take, as estimated; None: all the same.
    """

    def __init__(self, owner: Progress, label: str, total: int, seconds: Sequence[float] | None = None) -> None:
        self._owner, self.label, self.total, self.done = owner, label, total, 0
        self._seconds = seconds
        self._started = self._logged = time.monotonic()
        self._task = owner.rich.add_task(label, total=total, note="", left="?") if owner.rich else None

    def advance(self, steps: int = 1, note: str = "") -> None:
        """`steps` more are done; `note` is what to show beside it, e.g. the loss."""
        self.done += steps
        if self._owner.rich and self._task is not None:
            self._owner.rich.update(self._task, advance=steps, note=note, left=self.remaining())
        elif time.monotonic() - self._logged >= self._owner.log_seconds:
            self._logged = time.monotonic()
            self._owner.say(f"{self.label}: {self.done}/{self.total} {note}".rstrip() + f" ({self.remaining()} left)")

    def remaining(self) -> str:
        known = self._seconds
        performed, planned = (self.done, self.total) if known is None else (sum(known[: self.done]), sum(known))
        left = at_this_pace(time.monotonic() - self._started, performed, planned)
        return "?" if left is None else duration(left)

    def close(self) -> None:
        if self._owner.rich and self._task is not None:
            self._owner.rich.remove_task(self._task)


class Progress:
    """Hands out bars; `say` prints a line beside them."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.rich: LiveView | None = None
        self._board: Board | None = None
        self._open = 0
        self._hinted = False

    @contextmanager
    def showing(self, board: Board) -> Iterator[Board]:
        """A sweep's board for the duration of the block, on a terminal."""
        self._board = board
        self._start()
        try:
            yield board
        finally:
            self._stop()
            self._board = None

    @property
    def live(self) -> bool:
        """Whether there is a place for a live view."""
        return self._kind_of_view() is not None

    @property
    def log_seconds(self) -> float:
        """Least time between two log lines of one bar."""
        return CELL_SECONDS if is_cell(self.stream) else LOG_SECONDS

    def working(self, workers: int) -> None:
        """So many processes are at it; for the board, where there is one."""
        if self._board is not None:
            self._board.workers = workers

    def ended(self, task: Hashable, part: Part) -> None:
        """A task has ended; for the board, where there is one."""
        if self._board is not None:
            self._board.end(task, part)

    @contextmanager
    def bar(self, label: str, total: int, seconds: Sequence[float] | None = None) -> Iterator[Bar]:
        """A bar for the duration of the block; seconds: estimated of each of its steps, None: all the same."""
        self._start()
        bar = Bar(self, label, total, seconds)
        try:
            yield bar
        finally:
            bar.close()
            self._stop()

    def say(self, text: str) -> None:
        """One line with the time of day. One that cannot be written, e.g. to a full disk, does not end the work."""
        if self.quiet:
            return
        line = f"[{time.strftime('%H:%M:%S')}] {text}"
        with suppress(OSError):
            if self.rich:
                self.rich.say(line)
            else:
                print(line, file=self.stream, flush=True)

    def _start(self) -> None:
        self._open += 1
        if self._open > 1:
            return
        if kind := self._kind_of_view():
            self.rich = kind(self.stream, self._board)
            self.rich.start()
        elif is_cell(self.stream) and not (self._hinted or self.quiet or has_widgets() or asked_for_less()):
            self._hinted = True
            self.say(HINT)

    def _kind_of_view(self) -> type[LiveView] | None:
        if self.quiet:
            return None
        if is_cell(self.stream):
            return CellView if has_widgets() and not asked_for_less() else None
        return LiveView if live(Console(file=self.stream)) else None

    def _stop(self) -> None:
        self._open -= 1
        if self._open == 0 and self.rich:
            self.rich.stop()
            self.rich = None


def live(console: Console) -> bool:
    """Whether lines can be drawn anew there: on a terminal that is wide enough, whose user has not asked for less."""
    seen = console.file.isatty() and not console.is_dumb_terminal and not os.environ.get(NOTEBOOK)
    return seen and not asked_for_less() and console.width >= NARROWEST


def asked_for_less() -> bool:
    return bool(os.environ.get("NO_COLOR"))


def at_this_pace(elapsed: float, performed: float, planned: float) -> float | None:
    """Seconds until all that was planned is performed, both as estimated; None before anything is."""
    return elapsed * max(0.0, planned - performed) / performed if performed else None


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 12 min, 3.5 h, 4.2 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
