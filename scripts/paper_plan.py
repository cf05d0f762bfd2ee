"""What sweeps/paper.yaml becomes on a cluster: tasks, jobs, arrays, device hours. Needs no images.

    python scripts/paper_plan.py [launcher.minutes_per_job=60 launcher.images_per_second=3000 ...]
    python scripts/paper_plan.py speed.resnet18=800 speed.tinyvit=300

The sizes are those of the full data sets. The speed is `launcher.images_per_second` for all networks, or what is given
for an architecture: images per second of a training step at 32x32, in proportion to the pixels at other sizes.
"""

from __future__ import annotations

import sys

from deepunlearn.cells import CellKeys
from deepunlearn.config import read_command
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.launch import slurm
from deepunlearn.launch.estimate import INFERENCE_RATIO, Estimator, Speed, cluster_speeds
from deepunlearn.launch.plan import STAGES, Planner

SMALL = 32  # pixels
SAMPLES = {  # training part, test part, classes
    "mnist": (60_000, 10_000, 10),
    "fashion_mnist": (60_000, 10_000, 10),
    "cifar10": (50_000, 10_000, 10),
    "cifar100": (50_000, 10_000, 100),
    "utkface": (18_964, 4_741, 5),
}


def sizes(dataset: str, val_ratio: float, forget_ratio: float) -> dict[str, int]:
    """Samples per part, up to rounding by class."""
    train, test, _ = SAMPLES[dataset]
    val = round(train * val_ratio)
    forget = round((train - val) * forget_ratio)
    return {"retain": train - val - forget, "forget": forget, "val": val, "test": test}


def speeds(planner: Planner, launcher: SlurmLauncher, given: dict[str, float]) -> list[Speed]:
    """Of each cell, as given for its architecture at 32x32 or as the launcher assumes."""
    assumed = cluster_speeds(planner, launcher)
    scaled = [
        given[cell.arch.name] * (SMALL / cell.dataset.image_size) ** 2 if cell.arch.name in given else None
        for cell in planner.sweep.cells
    ]
    return [Speed(one, INFERENCE_RATIO * one) if one else other for one, other in zip(scaled, assumed, strict=True)]


def main(arguments: list[str]) -> None:
    given = dict(argument.removeprefix("speed.").split("=") for argument in arguments if argument.startswith("speed."))
    arguments = [argument for argument in arguments if not argument.startswith("speed.")]
    command = read_command(["sweep=paper", "launcher=slurm", "results=nowhere", *arguments])
    planner, launcher = Planner(command.sweep, Progress(quiet=True)), command.sweep.launcher
    assert isinstance(launcher, SlurmLauncher)
    cells = command.sweep.cells
    planner.__dict__["keys"] = [CellKeys(cell, "0" * 64, SAMPLES[cell.dataset.name][2]) for cell in cells]
    for number, cell in enumerate(cells):
        planner._sizes[number] = sizes(cell.dataset.name, cell.dataset.val_ratio, cell.forget.ratio)
    estimator = Estimator(planner, speeds(planner, launcher, {name: float(value) for name, value in given.items()}))
    hours = 0.0
    for stage in STAGES:
        tasks = [task for task in planner.tasks if task.stage == stage]
        seconds = sum(map(estimator.task, tasks))
        hours += seconds / 3600
        print(f"{stage:<10} {len(tasks):>6} tasks  {seconds / 3600:>9.0f} device hours")
    print(f"{'all':<10} {len(planner.tasks):>6} tasks  {hours:>9.0f} device hours")
    for number, cell in enumerate(cells):
        seconds = sum(estimator.task(task) for task in planner.tasks if task.cell == number)
        print(f"  {cell.name:<24} {seconds / 3600:>9.0f} device hours")
    print(slurm.describe(slurm.arrays(planner, estimator, planner.tasks, launcher), launcher))


if __name__ == "__main__":
    main(sys.argv[1:])
