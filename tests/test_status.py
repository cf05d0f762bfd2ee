"""The status of a sweep."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.commands import Finished, run_command
from tests.launch.standin import StandIn


@pytest.mark.slow
def test_status_goes_on_without_slurms_answer(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = (finished.folder / "results" / "runs").iterdir()
    (run / "jobs").mkdir()
    (run / "jobs" / "7.json").write_text('{"date": "", "stage": "search", "job": "7", "tasks": []}')
    cluster = StandIn(tmp_path / "cluster")
    cluster.write("silent", "")
    monkeypatch.setenv("PATH", f"{cluster.bin}:{os.environ['PATH']}")
    status = run_command("status", finished.folder)
    assert status.returncode == 0 and "SLURM does not answer: no controller" in status.stdout
    assert re.search(r"digits/smallnet search +3 +0 +0 +0 +0 +\d+ s +-$", status.stdout, re.MULTILINE)
