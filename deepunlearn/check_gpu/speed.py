"""How fast training steps are beside a plain loop and beside the device's own limit, and what a sweep would take."""

from __future__ import annotations

import itertools
import shutil
import statistics
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import torch
from torch import nn

from deepunlearn import archs
from deepunlearn.check_gpu.part import Outcome, Part
from deepunlearn.check_gpu.where import Where
from deepunlearn.config import read_command
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig
from deepunlearn.data.loader import Part as Samples
from deepunlearn.instruments.plain_loop import LR, PLAIN, Resident, optimiser
from deepunlearn.instruments.turns import Task as Timed
from deepunlearn.instruments.turns import turns
from deepunlearn.launch.estimate import Estimator
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.speed import Timing, noise, operations
from deepunlearn.launch.task import Task
from deepunlearn.ops.optim import sgd
from deepunlearn.runtime import Runtime
from deepunlearn.training import classification_step

CLASSES, PIXELS = 10, 32  # CIFAR-10's
PRECISIONS = ("fp32", "bf16")
GOAL = 1.03  # of our step against the bare loop
BACKWARD = 3  # operations of a training step to those of its forward pass
SECONDS = 8.0  # that an estimate may spend on timing
GRAPHS = "ours, CUDA graphs"


def listed(where: Where, folder: Path) -> Iterator[Part]:
    """folder: where measured speeds are written."""
    for arch, precision in itertools.product(PLAIN, PRECISIONS):
        yield Part(f"steps/{arch}/{precision}", partial(steps, where, arch, precision))
    for arch, precision in itertools.product(PLAIN, PRECISIONS):
        yield Part(f"estimates/{arch}/{precision}", partial(estimate, where, arch, precision, folder))


def steps(where: Where, arch: str, precision: str) -> Outcome:
    """A training step without augmentation: ours, a bare loop with our network, and with timm's or torchvision's.

    The floor is what its operations would take at the rate of large matrix products on this device.
    """
    size, here = where.size, where.runtime(precision=precision)
    samples = noise(_cell(arch), PIXELS, size.batch, CLASSES, here)
    tasks = {
        "ours": _ours(here, arch, samples),
        "bare loop": _bare(here, _network(here, arch), samples),
        "plain network": _bare(here, _plain(here, arch), samples),
    }
    if where.on_gpu:
        tasks[GRAPHS] = _ours(where.runtime(precision=precision, compile="cudagraphs"), arch, samples)
    taken = turns(size.repeats, tasks, dict.fromkeys(tasks, size.steps))
    ratio = statistics.median(a / b for a, b in zip(taken["ours"], taken["bare loop"], strict=True))
    middle = {name: statistics.median(values) for name, values in taken.items()}
    floor = BACKWARD * operations(_cell(arch), PIXELS, CLASSES) * size.batch / 2 / rate(where, precision)
    figures = {
        "batch": str(size.batch),
        **{f"{name}, ms": f"{1000 * seconds:.2f}" for name, seconds in middle.items()},
        "floor, ms": f"{1000 * floor:.2f}",
        "images/s": f"{size.batch / middle['ours']:,.0f}",
        "ours / bare": f"{ratio:.2f}",
        f"at most {GOAL}": "yes" if ratio <= GOAL else "no",
        "plain / ours": f"{middle['plain network'] / middle['ours']:.2f}",
        "ours / floor": f"{middle['ours'] / floor:.1f}",
    }
    return Outcome("ok", "", figures)


def _ours(here: Runtime, arch: str, samples: Samples) -> Timed:
    """A step as a sweep makes it."""
    with here.visit(torch.float32):
        model = here.compiled(_network(here, arch))
        step = classification_step(model, sgd(model.parameters(), lr=LR, weight_decay=5e-4), here)
    passes = (samples.batches(len(samples), torch.Generator().manual_seed(0)) for _ in itertools.count())
    batches = itertools.chain.from_iterable(passes)

    def task() -> None:
        with here.visit(torch.float32):
            step(*next(batches))

    return task


def _network(here: Runtime, arch: str) -> nn.Module:
    with here.visit(torch.float32):
        return here.to_device(archs.build(_cell(arch).arch, CLASSES, PIXELS, 0)).train()


def _plain(here: Runtime, arch: str) -> nn.Module:
    return PLAIN[arch](CLASSES).to(here.device).to(memory_format=torch.channels_last).train()


def _bare(here: Runtime, model: nn.Module, samples: Samples) -> Timed:
    images, labels = next(iter(samples.batches(len(samples))))
    data, optimizer = Resident(images, labels), optimiser(model)

    def task() -> None:
        with here.autocast():
            data.step(model, optimizer, torch.randperm(len(labels)))

    return task


@cache
def rate(where: Where, precision: str) -> float:
    """Operations a second of large matrix products; of fp32 with TF32 where the device has it, as convolutions have."""
    size, device = where.size.rate, where.runtime().device
    values = torch.ones(size, size, device=device, dtype=torch.float32 if precision == "fp32" else torch.bfloat16)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        taken = turns(where.size.repeats, {"product": partial(torch.mm, values, values)})["product"]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return float(2 * size**3 / min(taken))


@cache
def _cell(arch: str) -> CellConfig:
    return read_command([f"arch={arch}", "dataset=cifar10", "method=ft"]).sweep.cells[0]


# ------------------------------------------------------------------------------------------------------------ estimates


def estimate(where: Where, arch: str, precision: str, folder: Path) -> Outcome:
    """What `sweep plan=true` says of CIFAR-10 here: an original, and a trial of fine-tuning in the paper's search."""
    command = read_command(
        [f"arch={arch}", "dataset=cifar10", "method=ft", "search=paper", "search.seeds=1", "search.trials=1", "seeds=1",
         f"runtime.device={where.device}", f"runtime.precision={precision}", f"results={folder}"]
    )  # fmt: skip
    planner = Planner(command.sweep, Progress(quiet=True), only_plan=True)
    shutil.rmtree(planner.results.cache, ignore_errors=True)  # speeds measured by another commit are another's
    here = Runtime(command.sweep.runtime)
    with here.visit(torch.float32):
        timing = Timing(planner, here, Progress(quiet=True), SECONDS)
        [speed] = timing.complete(timing.of([0]))
    seconds = Estimator(planner, [speed]).task
    trial = seconds(_task(planner, "search"))
    figures = {
        "training, images/s": f"{speed.train:,.0f}",
        "inference, images/s": f"{speed.predict:,.0f}",
        "an original, s": f"{seconds(_task(planner, 'reference')):,.0f}",
        "a trial, s": f"{trial:,.1f}",
        "trials per hour": f"{3600 / trial:,.0f}",
    }
    return Outcome("ok", "", figures)


def _task(planner: Planner, stage: str) -> Task:
    """The first of a stage: of references an original."""
    return next(task for task in planner.tasks if task.stage == stage)
