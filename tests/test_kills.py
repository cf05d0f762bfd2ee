"""20 kill -9 at seeded random times over a real sweep: nothing is lost, doubled or different afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import sweep
from tests.launch.sweeps import rows

KILLS = 20
WORK = (
    "arch=smallnet",
    "method=ft,ct,msg",
    "train.epochs=80",
    "seeds=2",
    "search=quick",
    "search.trials=6",
    "search.max_epochs=16",
    "runtime.threads=1",
    "runtime.checkpoint_seconds=0",
)


def trials(folder: Path) -> dict[str, list[list[str]]]:
    """Finished trials of each study, apart from the seconds each took."""
    tables = {}
    for path in folder.rglob("trials.csv"):
        lines = [line.split(",", 9) for line in path.read_text().splitlines()]
        tables[str(path.relative_to(folder))] = [line[:8] + line[9:] for line in lines]
    return tables


def weights(folder: Path) -> dict[str, str]:
    """Recorded sha256 of all stored weights and logits."""
    found = {}
    for path in folder.rglob("meta.json"):
        files = json.loads(path.read_text())["files"]
        name = str(path.parent.relative_to(folder))
        found.update(
            {
                f"{name}/{file}": facts["sha256"]
                for file, facts in files.items()
                if file.endswith((".safetensors", ".npz"))
            }
        )
    return found


def killed(folder: Path, after: float) -> bool:
    """Start the sweep and kill it after so many seconds; whether it was still running."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deepunlearn.sweep", *WORK],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    time.sleep(after)
    alive = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL) if alive else None
    process.wait()
    return alive


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    assert sweep(whole, *WORK).returncode == 0
    moments = random.Random(0)
    landed = sum(killed(broken, moments.uniform(2.0, 5.5)) for _ in range(KILLS))
    done = sweep(broken, *WORK)
    assert done.returncode == 0, done.stderr
    assert landed >= KILLS - 5, "the sweep was over before most of the kills: make WORK longer"
    assert rows(broken) == rows(whole)
    assert trials(broken) == trials(whole)
    assert weights(broken) == weights(whole)
    assert not list((broken / "results" / "store").rglob(".draft-*"))
    assert not list((broken / "results" / "work").glob("*.safetensors"))
