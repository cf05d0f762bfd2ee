"""Our training step against a bare PyTorch loop, and what augmentation costs.

The bare loop has the same network, normalised float images in memory, shuffled, channels last, set_to_none, and SGD
with foreach or, as ours, fused; both are without augmentation, our batches are made of bytes. Steps take turns one by
one. A / B is what ours costs beside the bare one, and which share of our step crop, flip and normalisation of a batch
would be. Host
synchronisations: reads of a tensor's value by Python within an epoch; the same epoch also ran on PyTorch's meta device,
where any copy to the host is an error.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from common import Options, Row, Taken, command_of, experiment_of
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from deepunlearn import archs
from deepunlearn.data.loader import Part, ResidentData, Transform
from deepunlearn.instruments.plain_loop import LR, Resident, optimiser
from deepunlearn.instruments.turns import Task, turns
from deepunlearn.ops.optim import sgd
from deepunlearn.ops.step import Step
from deepunlearn.stages.evaluation import Experiment
from deepunlearn.training import classification_step

READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal")  # ops that make the host wait for a value
CASES = (("tinyvit", "TinyViT", 64, 20), ("resnet18", "ResNet18", 256, 60), ("resnet18", "ResNet18", 64, 120))
STEPS = 4  # of an epoch whose reads are counted


def rows(options: Options) -> list[Row]:
    rows = []
    for arch, title, size, repeats in CASES:
        experiment = experiment_of(command_of(options, options.size(3000, 150), f"arch={arch}"))
        batch = options.size(size, size // 16)
        rows += _against_bare(experiment, f"{title}, batch {batch}", batch, options.size(repeats, 2))
    return [*rows, _reading(experiment, batch)]


def _against_bare(experiment: Experiment, title: str, batch: int, repeats: int) -> list[Row]:
    retain = _whole_batches(experiment.split_data(0).parts["retain"], batch)
    model = experiment.fresh_model(0)
    tasks = {
        "ours": _ours(experiment, copy.deepcopy(model), retain, batch),
        "foreach": _bare(copy.deepcopy(model), retain, batch, "foreach"),
        "fused": _bare(copy.deepcopy(model), retain, batch, "fused"),
        "prepare": _preparation(experiment, batch),
    }
    taken = turns(repeats, tasks)
    ours, prepare = Taken("ours", taken["ours"], batch), Taken("crop, flip, normalise", taken["prepare"])
    steps = [
        Row(f"{title}: step", ours, Taken(f"bare loop, {way}", taken[way], batch), "<= 1.03")
        for way in ("foreach", "fused")
    ]
    return [*steps, Row(f"{title}: augmentation", prepare, ours, "<= 0.03")]


def _whole_batches(part: Part, batch: int) -> Part:
    """So many samples that all steps are alike."""
    return part.subset(range(len(part) // batch * batch))


def _ours(experiment: Experiment, model: nn.Module, part: Part, batch: int) -> Task:
    step = _step(experiment, model)
    batches = _endless(lambda: part.batches(batch, torch.Generator().manual_seed(0)))
    return lambda: step(*next(batches))


def _step(experiment: Experiment, model: nn.Module) -> Step:
    model.train()
    return classification_step(model, sgd(model.parameters(), lr=LR, weight_decay=5e-4), experiment.runtime)


def _bare(model: nn.Module, part: Part, batch: int, way: str) -> Task:
    images, labels = next(iter(part.batches(len(part))))
    data, optimizer = Resident(images, labels), optimiser(model.train(), way)
    orders = _endless(lambda: iter(torch.randperm(len(labels)).split(batch)))
    return lambda: data.step(model, optimizer, next(orders))


def _preparation(experiment: Experiment, batch: int) -> Task:
    """What is computed for an augmented batch on its bytes."""
    dataset = experiment.cell.dataset
    assert dataset.mean is not None and dataset.std is not None
    transform = Transform(dataset, dataset.mean, dataset.std, experiment.runtime.device)
    images = torch.from_numpy(np.array(experiment.decoded.train_images[:batch])).to(experiment.runtime.device)
    generator = torch.Generator().manual_seed(0)

    def prepare() -> Tensor:
        draws = transform.draw(batch, generator)
        assert draws is not None
        return transform.normalise(transform.augment(images, draws))

    return prepare


def _endless(epoch: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    return itertools.chain.from_iterable(epoch() for _ in itertools.count())


# ------------------------------------------------------------------------------------------------ host synchronisations


class Reads(TorchDispatchMode):
    """Counts the operations after which the host knows a tensor's value."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func._schema.name in READS
        return func(*args, **(kwargs or {}))


def _reading(experiment: Experiment, batch: int) -> Row:
    train = experiment.split_data(0).parts["train"]
    part = train.subset(range(min(STEPS * batch, len(train))))
    step = _step(experiment, experiment.fresh_model(0))
    with Reads() as within:
        _augmented_epoch(part, step, batch)
    with Reads() as at_the_end:
        step.mean_loss()
    assert at_the_end.count, "the loss of an epoch was read unseen, so the counter is blind"
    _epoch_without_values(experiment, batch)
    counted = Taken("reads of a value", [float(within.count)], unit="reads")
    return Row("host synchronisations per step", counted, Taken("an epoch", [part.steps(batch)], unit="steps"), "<= 0")


def _augmented_epoch(part: Part, step: Step, batch: int) -> None:
    for x, y in part.batches(batch, torch.Generator().manual_seed(0), augment=True):
        step(x, y)


def _epoch_without_values(experiment: Experiment, batch: int) -> None:
    """The epoch on tensors that have no values: whatever asks for one raises. SGD is the foreach one: fused
    kernels do not run on this device."""
    dataset, device = experiment.cell.dataset, torch.device("meta")
    assert dataset.mean is not None and dataset.std is not None
    rows = experiment.split.train[: STEPS * batch]
    data = ResidentData(experiment.decoded.train_images, experiment.decoded.train_labels, rows, device, resident=True)
    part = Part(data, torch.arange(len(rows)), Transform(dataset, dataset.mean, dataset.std, device))
    model = archs.build(experiment.cell.arch, len(experiment.decoded.class_names), dataset.image_size).to(device)
    _augmented_epoch(part, classification_step(model.train(), optimiser(model), experiment.runtime), batch)
