"""What a SLURM job does. Started by submitit; arguments are strings only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deepunlearn.core import stopping
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import LocalLauncher, SlurmLauncher
from deepunlearn.launch.local import Local
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.requeue import Requeue
from deepunlearn.launch.runs import SWEEP, load_sweep
from deepunlearn.launch.task import Task


def run_tasks(folder: str, tasks: list[str], file: str | None = None) -> dict[str, int]:
    """Do `tasks` of the run in `folder`; those that are done are skipped, so that a requeued job goes on where it was.

    file: the sweep as it was submitted; jobs of earlier versions have none, and read what its last command wrote.
    Returns how many tasks are in which state. Before the time limit it requeues its job.
    """
    stopping.listen()
    settings = Path(file) if file else Path(folder) / SWEEP
    sweep, progress = load_sweep(settings), Progress()
    planner = Planner(sweep, progress)
    chosen = [Task.parse(task) for task in tasks]
    requeue = _requeue(sweep.launcher, progress)
    try:
        with requeue.in_time():
            local = _local(planner, Path(folder), settings, progress)
            measure_speeds(local, {task.cell for task in chosen})
            local.run(chosen)
    except stopping.Stopped:
        requeue.leave()
    states = [planner.state(task) for task in chosen]
    return {state: states.count(state) for state in dict.fromkeys(states)}


def _requeue(launcher: LocalLauncher | SlurmLauncher, progress: Progress) -> Requeue:
    if isinstance(launcher, SlurmLauncher):
        return Requeue(launcher.max_requeues, launcher.signal_seconds, progress)
    return Requeue(0, 0, progress)  # a job of an earlier version, which reads what a local command wrote since


def _local(planner: Planner, folder: Path, settings: Path, progress: Progress) -> Local:
    from deepunlearn.launch.worker import Worker  # noqa: PLC0415  the driver, which pickles this function, needs no torch
    from deepunlearn.runtime import Runtime, gpu_environments  # noqa: PLC0415

    worker = Worker(planner, Runtime(planner.sweep.runtime).settle(), progress)
    return Local(planner, folder, progress, gpu_environments(), lambda: worker, file=settings)


def measure_speeds(local: Local, cells: set[int]) -> None:
    """For the estimates of later commands: how fast this node is."""
    from deepunlearn.launch.speed import Timing  # noqa: PLC0415

    Timing(local.planner, local.worker.runtime, local.progress).of(sorted(cells))


def make_tables(results: str) -> int:
    """The tables of everything that is stored, holes marked."""
    command = [sys.executable, "-m", "deepunlearn.tables", f"results={results}", "partial=true"]
    return subprocess.run(command, check=False).returncode
