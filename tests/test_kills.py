"""20 kill -9 at seeded random times over a real sweep: nothing is lost, doubled or different afterwards."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from tests.commands import Running, sweep, until
from tests.launch.sweeps import owners, rows

KILLS = 20
WORK = (
    "arch=smallnet",
    "method=ft,ct,msg",
    "train.epochs=25",
    "seeds=2",
    "search=quick",
    "search.trials=3",
    "search.max_epochs=4",
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


def worked(process: Running) -> float:
    """Processor seconds that it has used: they say how far it is, however busy the machine; 0 once it has ended."""
    try:
        user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def unbroken(folder: Path) -> float:
    """Run the sweep; the processor seconds that it takes."""
    process, seconds = Running("sweep", folder, *WORK), 0.0
    while process.lives():
        seconds = max(seconds, worked(process))
        time.sleep(0.1)
    done = process.end()
    assert done.returncode == 0, done.stderr
    return seconds


def killed(folder: Path, after: float) -> bool:
    """Start the sweep and kill it so many processor seconds after it began to compute; whether it was still running."""
    process = Running("sweep", folder, *WORK)
    until(lambda: not process.lives() or process.pid in [owner.pid for owner in owners(folder / "results")])
    end = worked(process) + after
    while process.lives() and worked(process) < end:
        time.sleep(0.001)
    alive = process.lives()
    process.kill()
    return alive


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    mean = 0.6 * unbroken(whole) / KILLS  # of the times between kills, so that most come before the sweep is done
    moments = random.Random(0)
    landed = sum(killed(broken, moments.uniform(0, 2 * mean)) for _ in range(KILLS))
    done = sweep(broken, *WORK)
    assert done.returncode == 0, done.stderr
    assert landed >= KILLS - 5, "the sweep was over before most of the kills: make WORK longer"
    assert rows(broken) == rows(whole)
    assert trials(broken) == trials(whole)
    assert weights(broken) == weights(whole)
    assert not list((broken / "results" / "store").rglob(".draft-*"))
    assert not list((broken / "results" / "work").glob("*.safetensors"))
