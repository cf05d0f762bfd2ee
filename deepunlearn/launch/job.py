"""What a SLURM job does. Started by submitit; arguments are strings only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from deepunlearn.core import stopping
from deepunlearn.core.progress import Progress
from deepunlearn.launch.local import Local
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import load_sweep
from deepunlearn.launch.task import Task

KILLED_WITHIN = 300  # seconds that SLURM has to end a job that it requeued


def run_tasks(folder: str, tasks: list[str]) -> dict[str, int]:
    """Do `tasks` of the run in `folder`; those that are done are skipped, so that a requeued job goes on where it was.

    Returns how many tasks are in which state. Asked to stop before the time limit, it requeues its job.
    """
    stopping.listen()
    sweep, progress = load_sweep(Path(folder) / "sweep.json"), Progress()
    planner = Planner(sweep, progress)
    chosen = [Task.parse(task) for task in tasks]
    try:
        local = _local(planner, Path(folder), progress)
        measure_speeds(local, {task.cell for task in chosen})
        local.run(chosen)
    except stopping.Stopped:
        _leave(sweep.launcher.max_requeues if sweep.launcher.name == "slurm" else 0, progress)
    states = [planner.state(task) for task in chosen]
    return {state: states.count(state) for state in dict.fromkeys(states)}


def _local(planner: Planner, folder: Path, progress: Progress) -> Local:
    from deepunlearn.launch.worker import Worker  # noqa: PLC0415  the driver, which pickles this function, needs no torch
    from deepunlearn.runtime import Runtime, gpu_environments  # noqa: PLC0415

    worker = Worker(planner, Runtime(planner.sweep.runtime).settle(), progress)
    return Local(planner, folder, progress, gpu_environments(), lambda: worker)


def measure_speeds(local: Local, cells: set[int]) -> None:
    """For the estimates of later commands: how fast this node is."""
    from deepunlearn.launch.speed import Timing  # noqa: PLC0415

    Timing(local.planner, local.worker.runtime, local.progress).of(sorted(cells))


def _leave(max_requeues: int, progress: Progress) -> None:
    """Requeue this job, unless it was told to end for good or has been requeued too often."""
    job, restarts = os.environ["SLURM_JOB_ID"], int(os.environ.get("SLURM_RESTART_COUNT") or 0)
    if stopping.reason() == signal.SIGTERM:
        progress.say("asked to end; what was done is kept")
        sys.exit(128 + signal.SIGTERM)
    if restarts >= max_requeues:
        progress.say(f"time is up after {restarts} requeues (launcher.max_requeues); run the sweep's command again")
        sys.exit(1)
    progress.say("time is nearly up; what was done is kept, and the job is requeued")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asked = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        progress.say(f"SLURM does not requeue it ({asked.stderr.strip()}); run the sweep's command again")
        sys.exit(1)
    time.sleep(KILLED_WITHIN)


def make_tables(results: str) -> int:
    """The tables of everything that is stored, holes marked."""
    command = [sys.executable, "-m", "deepunlearn.tables", f"results={results}", "partial=true"]
    return subprocess.run(command, check=False).returncode
