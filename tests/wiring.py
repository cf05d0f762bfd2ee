"""Sweeps whose network and method note what they meet, run task by task in this process."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepunlearn.config import read_command
from deepunlearn.core.progress import Progress
from deepunlearn.core.store import Entry
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import Task
from deepunlearn.launch.worker import Worker
from deepunlearn.runtime import Runtime
from deepunlearn.stages.evaluation import Experiment
from tests import watcher, witness
from tests.watcher import GIVEN, Given
from tests.witness import SEEN, Look

BATCH, EPOCHS, PARTS = 16, 3, ("retain", "forget", "val", "test")
OPTIONS = (
    "dataset=folder", f"dataset.image_size={witness.SIZE}", "dataset.mean=[0.0]", "dataset.std=[1.0]",
    "dataset.val_ratio=0.2", "arch=smallnet", "arch.module=tests.witness", "method=watcher", f"train.epochs={EPOCHS}",
    f"train.batch_size={BATCH}", "search=quick", "search.trials=2", "search.prune=false", "runtime.threads=1",
)  # fmt: skip


@dataclass(frozen=True)
class Done:
    """A finished sweep: what each task made the network see and the method be given."""

    planner: Planner
    experiment: Experiment
    seen: dict[Task, list[Look]]
    given: dict[Task, list[Given]]

    def entry(self, task: Task) -> Entry:
        """The model of a task."""
        subject = self.planner.subject(task)
        assert subject is not None
        found = self.planner.store.find(subject, self.planner.place(task))
        assert found is not None
        return found

    def row(self, task: Task) -> dict[str, Any]:
        place = self.planner.place(task)
        (path,) = self.planner.store.root.glob(
            f"{place.dataset}/{place.arch}/rows/{place.method}/seed{place.seed}-*/row.json"
        )
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def labels(self, numbers: Iterable[int]) -> list[tuple[int, int]]:
        """(number, label) of training images, sorted."""
        return sorted((number, int(self.experiment.decoded.train_labels[number])) for number in numbers)


def swept(folder: Path, *options: str, wanted: Iterable[Task] | None = None) -> Done:
    witness.write_numbered(folder / "images")
    (folder / "methods").mkdir()
    (folder / "methods" / "watcher.yaml").write_text(watcher.YAML)
    (folder / "methods" / "watcher.py").write_text(watcher.CODE)
    folders = (f"dataset.root={folder / 'images'}", f"extra_methods={folder / 'methods'}", f"results={folder / 'out'}")
    planner = Planner(read_command([*OPTIONS, *folders, *options]).sweep, Progress(quiet=True))
    worker = Worker(planner, Runtime(planner.sweep.runtime), planner.progress)
    done = Done(planner, worker.experiment(0), {}, {})
    for task in wanted or planner.tasks:
        looks, runs = len(SEEN), len(GIVEN)
        assert worker.run_task(task) == "done", planner.failure(task)
        done.seen[task], done.given[task] = SEEN[looks:], GIVEN[runs:]
    return done


def reference(role: str, seed: int) -> Task:
    return Task("reference", 0, role, seed)


def report(seed: int) -> Task:
    return Task("evaluate", 0, "watcher", seed)


def study(seed: int) -> Task:
    return Task("search", 0, "watcher", seed)


def epochs_of(looks: list[Look], size: int) -> list[list[int]]:
    """The numbers of each pass over `size` images that trained the network, in their order."""
    numbers = [number for look in looks if look.training for number in look.numbers]
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def evaluated(looks: list[Look]) -> list[int]:
    return [number for look in looks if not look.training for number in look.numbers]


def steps(samples: int) -> int:
    return math.ceil(samples / BATCH)
