"""Several worker processes on one machine, with faults injected for real."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from deepunlearn.core.progress import Progress
from deepunlearn.launch.local import Local
from deepunlearn.launch.runs import SWEEP, prepared
from tests.commands import LIMIT, Running, run_command, sweep, until
from tests.launch.sweeps import WORK, own_method, owners, planner_of, rows


def start(folder: Path, *arguments: str) -> Running:
    """The sweep as a process that goes on."""
    return Running("sweep", folder, *arguments)


def workers_of(driver: Running) -> list[int]:
    """Process numbers of a driver's workers."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            number, rest = stat.parent.name, stat.read_text().rpartition(")")[2].split()
            if int(rest[1]) == driver.pid:
                found.append(int(number))
    return found


def lives(process: int) -> bool:
    """One that has ended and that nobody has reaped does not."""
    command = Path(f"/proc/{process}/cmdline")
    return command.exists() and bool(command.read_bytes())


@pytest.mark.slow
def test_three_workers_find_what_one_finds(tmp_path: Path, alone: Path) -> None:
    done = sweep(tmp_path, *WORK, "launcher.workers=3")
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path) == rows(alone) and len(rows(alone)) == 8
    assert len(list((tmp_path / "results" / "runs").rglob("worker-local-*.log"))) == 3
    assert "nothing to do" in sweep(tmp_path, *WORK).stdout, "the number of workers is no part of a result"


@pytest.mark.slow
def test_workers_that_share_a_study_finish_exactly_its_trials(tmp_path: Path) -> None:
    work = [*WORK, "method=ft", "search.trials=9", "launcher.workers=3", "launcher.workers_per_study=3"]
    done = sweep(tmp_path, *work)
    assert done.returncode == 0, done.stderr
    (table,) = (tmp_path / "results" / "store").rglob("trials.csv")
    slots = pd.read_csv(table)["slot"].tolist()
    assert len(slots) == len(set(slots)) == 9


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(tmp_path: Path, alone: Path) -> None:
    driver = start(tmp_path, *WORK, "launcher.workers=2")
    (worker, *_) = until(lambda: [one.pid for one in owners(tmp_path / "results") if one.pid != driver.pid])
    os.kill(worker, signal.SIGKILL)
    done = driver.end()
    assert done.returncode == 0, done.stderr
    assert "another takes over" in done.stderr
    assert rows(tmp_path) == rows(alone)


@pytest.mark.slow
def test_workers_end_with_a_driver_that_is_killed_and_nothing_is_lost(tmp_path: Path, alone: Path) -> None:
    driver = start(tmp_path, *WORK, "launcher.workers=2")
    until(lambda: list((tmp_path / "results" / "work" / "claims").rglob("0000")))
    workers = workers_of(driver)
    driver.kill()
    done = sweep(tmp_path, *WORK, "launcher.workers=2")
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path) == rows(alone)
    until(lambda: not any(map(lives, workers)))


@pytest.mark.slow
def test_workers_leave_a_long_study_when_their_driver_is_gone(tmp_path: Path) -> None:
    driver = start(tmp_path, *WORK, "search.trials=10000", "seeds=1", "launcher.workers=2", "confirm=true")
    until(lambda: list((tmp_path / "results" / "search").rglob("claims/*/00*")))
    workers = workers_of(driver)
    driver.terminate()
    assert workers
    until(lambda: not any(map(lives, workers)))


@pytest.mark.slow
def test_a_worker_whose_driver_has_ended_while_it_imported_leaves_its_task(tmp_path: Path) -> None:
    """It is never that driver's child, so it may not take whose child it is for its driver."""
    planner = planner_of(tmp_path / "results", "launcher=local", "train.epochs=1000000", "seeds=1")
    gone = subprocess.Popen(["true"])
    gone.wait()
    command = [
        sys.executable,
        "-m",
        "deepunlearn.launch.work",
        str(prepared(planner, "run", []) / SWEEP),
        str(gone.pid),
    ]
    said = subprocess.run(
        command, input=f"{planner.open_tasks()[0]}\n", capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert (said.returncode, said.stdout) == (75, ""), said.stderr


@pytest.mark.slow
def test_two_drivers_of_the_same_sweep_share_the_work(tmp_path: Path, alone: Path) -> None:
    drivers = [start(tmp_path, *WORK) for _ in range(2)]
    ends = [driver.end() for driver in drivers]
    assert [end.returncode for end in ends] == [0, 0], ends
    assert rows(tmp_path) == rows(alone)
    assert "skipped" not in run_command("status", tmp_path).stdout.replace("skipped   to do", "")


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_not_run_and_the_rest_goes_on(tmp_path: Path) -> None:
    own_method(tmp_path / "own", "deadly", "os.kill(os.getpid(), signal.SIGKILL)")
    work = [*WORK, "method=ft,deadly", "launcher.workers=2", "extra_methods=own", "seeds=1"]
    done = sweep(tmp_path, *work)
    assert done.returncode == 1
    assert (
        "not run: digits/smallnet search deadly seed 0: WorkerDied: 3 worker processes at it ended, the last one by "
        "signal 9" in done.stdout
    )
    needs = "InputMissing: needs digits/smallnet select deadly"
    assert f"not run: digits/smallnet evaluate deadly seed 0: {needs}" in done.stdout
    assert "fewer processes" in done.stdout
    assert any("/ft/" in row for row in rows(tmp_path))


@pytest.mark.slow
def test_asked_to_stop_it_leaves_at_the_next_checkpoint_and_goes_on_from_there(tmp_path: Path) -> None:
    work = [*WORK, "train.epochs=60", "seeds=1", "search=none", "launcher.workers=2", "method=ft"]
    driver = start(tmp_path, *work)
    until(lambda: list((tmp_path / "results" / "work").glob("*.safetensors")))
    for worker in workers_of(driver):
        os.kill(worker, signal.SIGUSR2)
    done = driver.end()
    assert done.returncode == 0, done.stderr
    assert "ended with exit code 75; another takes over" in done.stderr
    whole = tmp_path / "whole"
    whole.mkdir()
    assert sweep(whole, *work).returncode == 0
    assert rows(tmp_path / "results") == rows(whole / "results")


@pytest.mark.slow
def test_status_shows_what_is_running(tmp_path: Path) -> None:
    driver = start(tmp_path, *WORK, "train.epochs=20000", "launcher.workers=2", "confirm=true")
    until(lambda: re.search(r"digits/smallnet reference +0 +2 ", run_command("status", tmp_path).stdout))
    workers = workers_of(driver)
    driver.kill()
    for worker in workers:
        with suppress(ProcessLookupError):  # it saw that its driver is gone
            os.kill(worker, signal.SIGKILL)
    # dead ones do not run; they die after the signal was sent, not before
    until(lambda: re.search(r"digits/smallnet reference +0 +0 ", run_command("status", tmp_path).stdout))


def local(gpus: int, halves: bool = False, selection: str = "paper", **launcher: Any) -> Local:
    settings = {"name": "local", "workers": None, "workers_per_gpu": 1, "workers_per_study": 1, **launcher}
    sweep = SimpleNamespace(launcher=SimpleNamespace(**settings), search=SimpleNamespace(selection=selection))
    planner: Any = SimpleNamespace(sweep=sweep, timed_stages=[] if halves else ["evaluate"])
    visible = [{"CUDA_VISIBLE_DEVICES": str(number)} for number in range(gpus)]
    return Local(planner, Path(), Progress(quiet=True), visible, pytest.fail)


@pytest.mark.parametrize(
    ("gpus", "launcher", "searching", "evaluating"),
    [
        (0, {}, 1, 1),
        (0, {"workers": 3}, 3, 1),
        (0, {"workers_per_gpu": 4}, 1, 1),
        (2, {}, 2, 2),
        (2, {"workers_per_gpu": 4}, 8, 2),
        (2, {"workers": 5}, 5, 2),
    ],
)
def test_searches_share_devices_and_timed_unlearning_does_not(
    gpus: int, launcher: dict[str, int], searching: int, evaluating: int
) -> None:
    made = local(gpus, **launcher)
    assert (made.workers("search"), made.workers("evaluate"), made.workers("select")) == (searching, evaluating, 1)
    assert local(gpus, halves=True, **launcher).workers("evaluate") == searching, "U-LiRA times nothing"
    assert local(gpus, selection="robust", **launcher).workers("select") == searching, "candidates run once more"


def test_jobs_that_share_a_study_have_one_worker_each() -> None:
    shared = {"workers_per_gpu": 4, "workers_per_study": 3}
    assert local(1, **shared)._shared() == 3
    assert local(1, name="slurm", **shared)._shared() == 1, "three jobs share it already"


def test_workers_take_the_gpus_in_turn_and_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    environments = local(2, workers_per_gpu=2)._environments(4)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in environments] == ["0", "1"]
    assert {one["OMP_NUM_THREADS"] for one in environments} == {"2"}
    assert local(0, workers=3)._environments(3) == [{"OMP_NUM_THREADS": "2"}]
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("deepunlearn.launch.local.cores", lambda: frozenset(range(9)))
    assert local(0, workers=3)._environments(3) == [{"OMP_NUM_THREADS": "3"}]
