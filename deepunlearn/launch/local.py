"""Runs tasks on this machine, be it a desk's or a node of a cluster: alone in this process, or in a pool of others."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deepunlearn.core.progress import Progress
from deepunlearn.core.provenance import cores
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.pool import Pool
from deepunlearn.launch.runs import SWEEP
from deepunlearn.launch.task import Stage, Task
from deepunlearn.search.slots import prepare_storage

if TYPE_CHECKING:
    from deepunlearn.launch.worker import Worker


class Local:
    """Runs the tasks of a sweep stage by stage.

    gpus: for each visible GPU the environment of a process that is to use it; folder: of the run, for such processes;
    make_worker: that of this process, asked for only where it works itself, since it needs torch; file: the
    configuration that the processes read, where that is not the run's.
    """

    def __init__(
        self,
        planner: Planner,
        folder: Path,
        progress: Progress,
        gpus: list[dict[str, str]],
        make_worker: Callable[[], Worker],
        *,
        file: Path | None = None,
    ) -> None:
        self.planner, self.folder, self.progress, self.gpus = planner, folder, progress, gpus
        self._make_worker, self._file = make_worker, file or folder / SWEEP

    @cached_property
    def worker(self) -> Worker:
        return self._make_worker()

    def run(self, tasks: list[Task]) -> None:
        """Raises Stopped where this process was asked to stop."""
        for step in self.planner.steps:
            stage, chosen = step.stage, [task for task in tasks if self.planner.step_of(task) == step]
            if stage == "search" and chosen:
                prepare_storage(self.planner.sweep.search, self.planner.results.search)
                chosen = [task for task in chosen for _ in range(self._shared())]
            count = min(self.workers(stage), len(chosen))
            self.progress.working(max(1, count))
            if count > 1:
                environments = self._environments(count)
                Pool(self.planner, self.folder, self.progress, count, environments, file=self._file).run(chosen)
            elif chosen:
                self.worker.run(chosen)

    def workers(self, stage: Stage) -> int:
        """Worker processes of a stage. What is timed has its device, and a CPU, to itself; U-LiRA times nothing."""
        if stage == "select" and self.planner.sweep.search.selection == "paper":
            return 1  # it runs nothing, and takes less time than starting a process
        devices = max(1, len(self.gpus))
        if stage in self.planner.timed_stages:
            return devices
        launcher = self.planner.sweep.launcher
        return launcher.workers or (devices * launcher.workers_per_gpu if self.gpus else 1)

    def _shared(self) -> int:
        """How many workers share a study: never more than there are. With SLURM that many jobs share it."""
        if self.planner.sweep.launcher.name == "slurm":
            return 1
        return min(self.planner.sweep.launcher.workers_per_study, self.workers("search"))

    def _environments(self, count: int) -> list[dict[str, str]]:
        """One GPU for each worker in turn, and a share of the cores, since threads that wait for cores cost tenfold."""
        available = int(os.environ.get("OMP_NUM_THREADS") or len(cores()))
        threads = {"OMP_NUM_THREADS": str(max(1, available // count))}
        return [{**threads, **gpu} for gpu in self.gpus] or [threads]
