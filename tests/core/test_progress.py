"""Bars on a terminal that name what is going on; plain lines elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from deepunlearn.core import progress as progress_module
from deepunlearn.core.progress import MOST_CELLS, Board, Progress, duration, live


def seen_on_a_terminal(folder: Path, *arguments: str) -> str:
    """What a sweep writes to a terminal of 120 columns."""
    own_end, their_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "deepunlearn.sweep", *arguments],
        cwd=folder,
        stderr=their_end,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "160", "TERM": "xterm", "NO_COLOR": ""},
    )
    os.close(their_end)
    seen = b""
    while True:
        try:
            chunk = os.read(own_end, 65536)
        except OSError:  # the other end was closed
            break
        seen += chunk
    assert process.wait() == 0
    os.close(own_end)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())


@pytest.mark.slow
def test_a_terminal_shows_bars_with_cell_stage_seed_and_epoch_or_trial(tmp_path: Path) -> None:
    text = seen_on_a_terminal(
        tmp_path,
        "arch=smallnet",
        "method=ft",
        "search=quick",
        "search.trials=2",
        "seeds=1",
        "train.epochs=30",
        "dataset.limit=600",
        "runtime.threads=1",
    )
    assert re.search(r"digits/smallnet original seed 0: epoch .* \d+/30 .*loss \d", text)
    assert re.search(r"digits/smallnet ft search seed 0: trial .* \d/2", text)
    assert "trained 30 epochs" in text
    assert re.search(r"cell +reference +search +select +evaluate", text), "stages across"
    assert re.search(r"digits/smallnet +0/2 +0/1 +0/1 +0/3", text) and re.search(
        r"digits/smallnet +2/2 +1/1 +1/1", text
    )
    assert re.search(r"1 worker, \d+ s, left: \d+ s", text)


def test_elsewhere_there_are_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "LOG_SECONDS", 0.0)
    stream = io.StringIO()
    with Progress(stream).bar("digits ft seed 0: epoch", 3) as bar:
        for loss in (3, 2, 1):
            bar.advance(note=f"loss {loss}")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"\[\d\d:\d\d:\d\d\] digits ft seed 0: epoch: 2/3 loss 2 \(\d+ s left\)", lines[1])


def test_a_quick_bar_writes_nothing_into_a_log() -> None:
    stream = io.StringIO()
    with Progress(stream).bar("quick", 100) as bar:
        bar.advance(100)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (600, "10 min"), (9000, "2.5 h"), (864_000, "10.0 days")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def drawn(board: Board, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(board.table())
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_board_counts_tasks_by_cell_and_stage() -> None:
    total = {(0, "reference"): 4, (0, "search"): 1, (1, "reference"): 2}
    board = Board(["a", "b"], total, {(0, "reference"): 3}, {"one": 10.0, "shared": 30.0})
    assert [line.split() for line in drawn(board)[:3]] == [
        ["cell", "reference", "search"],
        ["a", "3/4", "0/1"],
        ["b", "0/2", "-"],
    ]
    board.workers = 3
    assert drawn(board)[-1].startswith("3 workers, 0 s, left: ?")
    board.end("one", (0, "reference"))
    board.end("shared", (0, "search"))
    board.end("shared", (0, "search"))
    board.end("unknown", (7, "search"))
    assert drawn(board)[1].split() == ["b", "0/2", "-"], "a cell that is done makes room"


def test_what_is_left_goes_by_the_pace_so_far() -> None:
    board = Board(["a"], {(0, "search"): 3}, {}, {"one": 10.0, "long": 29.0, "short": 1.0})
    assert board.left(elapsed=100.0) is None
    board.end("one", (0, "search"))
    assert board.left(elapsed=100.0) == pytest.approx(300.0), "ten seconds of forty took a hundred"
    board.end("long", (0, "search"))
    assert board.left(elapsed=390.0) == pytest.approx(10.0), "a short task is not as long as the others"


def test_a_bar_whose_steps_differ_says_what_is_left_by_what_each_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress_module, "LOG_SECONDS", 0.0)
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    stream = io.StringIO()
    with Progress(stream).bar("measure: model", 3, [8.0, 1.0, 1.0]) as bar:
        assert bar.remaining() == "?"
        now = 16.0
        bar.advance()
        now = 17.0
        bar.advance()
    assert [line.partition("] ")[2] for line in stream.getvalue().splitlines()] == [
        "measure: model: 1/3 (4 s left)",
        "measure: model: 2/3 (2 s left)",
    ]


def test_many_cells_are_cut() -> None:
    cells = [f"cell{number}" for number in range(MOST_CELLS + 5)]
    lines = drawn(Board(cells, {(cell, "search"): 1 for cell in range(len(cells))}, {}, {}))
    assert len(lines) == MOST_CELLS + 2 and lines[-1].startswith("5 more cells")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"COLUMNS": "40"}, False),
        ({"JPY_PARENT_PID": "7"}, False),
    ],
)
def test_a_live_view_is_for_a_terminal_whose_user_has_not_asked_for_less(
    variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"TERM": "xterm", "COLUMNS": "100", "LINES": "30", "NO_COLOR": "", "JPY_PARENT_PID": ""}
    for name, value in {**plain, **variables}.items():
        monkeypatch.setenv(name, value)
    assert live(Console(file=Terminal())) == expected == Progress(Terminal()).live
    assert not live(Console(file=io.StringIO())) and not Progress(io.StringIO()).live


def test_a_task_without_a_board_is_counted_nowhere() -> None:
    progress = Progress(io.StringIO())
    progress.ended("one", (0, "search"))
    progress.working(2)
    with progress.showing(Board(["a"], {(0, "search"): 1}, {}, {})) as board:
        progress.ended("one", (0, "search"))
        progress.working(2)
    assert board.ended[0, "search"] == 1 and board.workers == 2
