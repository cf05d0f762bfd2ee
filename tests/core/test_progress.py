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

from deepunlearn.core import progress as progress_module
from deepunlearn.core.progress import Progress, duration


def seen_on_a_terminal(folder: Path, *arguments: str) -> str:
    """What a sweep writes to a terminal of 120 columns."""
    own_end, their_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "deepunlearn.sweep", *arguments],
        cwd=folder,
        stderr=their_end,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "160", "TERM": "xterm"},
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
