"""Progress for people: bars on a terminal, plain log lines elsewhere. Goes to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

LOG_SECONDS = 10.0  # least time between two log lines of one bar


class Bar:
    """One activity under way, e.g. a training with its epochs."""

    def __init__(self, owner: Progress, label: str, total: int) -> None:
        self._owner, self.label, self.total, self.done = owner, label, total, 0
        self._started = self._logged = time.monotonic()
        self._task = owner.rich.add_task(label, total=total, note="") if owner.rich else None

    def advance(self, steps: int = 1, note: str = "") -> None:
        """`steps` more are done; `note` is what to show beside it, e.g. the loss."""
        self.done += steps
        if self._owner.rich and self._task is not None:
            self._owner.rich.update(self._task, advance=steps, note=note)
        elif time.monotonic() - self._logged >= LOG_SECONDS:
            self._logged = time.monotonic()
            self._owner.say(f"{self.label}: {self.done}/{self.total} {note}".rstrip() + f" ({self.remaining()} left)")

    def remaining(self) -> str:
        elapsed = time.monotonic() - self._started
        return duration(elapsed / max(self.done, 1) * (self.total - self.done))

    def close(self) -> None:
        if self._owner.rich and self._task is not None:
            self._owner.rich.remove_task(self._task)


class Progress:
    """Hands out bars; `say` prints a line beside them."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.rich: RichProgress | None = None
        self._open = 0

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Bar]:
        """A bar for the duration of the block."""
        self._start()
        bar = Bar(self, label, total)
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
                self.rich.console.print(line, markup=False, highlight=False)
            else:
                print(line, file=self.stream, flush=True)

    def _start(self) -> None:
        self._open += 1
        if self._open > 1 or self.quiet or not self.stream.isatty():
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self.rich = RichProgress(*columns, console=Console(file=self.stream), transient=True)
        self.rich.start()

    def _stop(self) -> None:
        self._open -= 1
        if self._open == 0 and self.rich:
            self.rich.stop()
            self.rich = None


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 12 min, 3.5 h, 4.2 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
