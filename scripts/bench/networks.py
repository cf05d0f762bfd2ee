"""Our networks against those of torchvision and timm, same weights and same function, with CPU kernels and without.

Each side has a process of its own. timm and torchvision: their network in a bare loop with foreach SGD. ours:
as a sweep runs it; ours, off: the same with `runtime.cpu_kernels=off`. Network alone: timm's or torchvision's in our
process, with our memory and torch's fused SGD for both. One step on a batch of 32x32 images in memory, fp32, channels
last but for ours, off; A / B is how many times as fast B is.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import torch
from common import Options, Row, Taken, runtime
from torch import Tensor, nn

from deepunlearn.archs import resnet, tiny_vit
from deepunlearn.core.schema import CpuKernels
from deepunlearn.instruments.apart import Apart
from deepunlearn.instruments.plain_loop import LR, PLAIN, batch_of, optimiser, train_step
from deepunlearn.instruments.turns import Task, turns
from deepunlearn.kernels.choice import fit, layout
from deepunlearn.ops.optim import sgd

OURS: dict[str, ModuleType] = {"tinyvit": tiny_vit, "resnet18": resnet}


@dataclass(frozen=True)
class Case:
    """steps: how many of ours, and of the plain ones, make up a measurement."""

    arch: str
    title: str
    maker: str
    batch: int
    repeats: int
    steps: dict[str, int]
    goal: str


CASES = (  # as many steps of our TinyViT as take about as long as one of timm's
    Case("tinyvit", "TinyViT", "timm", 256, 3, {"ours": 5, "off": 3}, ">= 15"),
    Case("tinyvit", "TinyViT", "timm", 64, 5, {"ours": 5, "off": 3}, ">= 15"),
    Case("resnet18", "ResNet18", "torchvision", 256, 9, {"ours": 4, "off": 4, "plain": 4}, ">= 1.35"),
    Case("resnet18", "ResNet18", "torchvision", 64, 9, {"ours": 16, "off": 16, "plain": 16}, ">= 1.35"),
)


def rows(options: Options) -> list[Row]:
    threads = torch.get_num_threads()
    ours = Networks(threads, "auto")
    ours.begin()
    apart = {"plain": Apart(Networks(threads, None)), "off": Apart(Networks(threads, "off"))}
    rows = []
    for case in CASES:
        rows += _case(case, options, ours, apart)
    for other in apart.values():
        other.close()
    return rows


def _case(case: Case, options: Options, ours: Networks, apart: dict[str, Apart]) -> list[Row]:
    size, repeats = options.size(case.batch, case.batch // 16), options.size(case.repeats, 1)
    steps = dict.fromkeys(case.steps, 1) if options.quick else case.steps
    logits = ours.take(case.arch, size)
    for other in apart.values():
        torch.testing.assert_close(other.call("take", case.arch, size), logits, rtol=1e-3, atol=1e-4)
    labels = {"plain": case.maker, "off": "ours, off", "ours": "ours"}

    def compared(kind: str, tasks: dict[str, Task], pairs: dict[tuple[str, str], str]) -> list[Row]:
        """pairs: names of A and B -> the goal of A / B."""
        taken = turns(repeats, tasks, steps)
        sides = {name: Taken(labels[name], taken[name], size) for name in tasks}
        return [Row(f"{case.title}, {kind}, batch {size}", sides[a], sides[b], goal) for (a, b), goal in pairs.items()]

    rows = []
    for kind, task, goal in (("training step", "train", case.goal), ("evaluation", "evaluate", "")):
        tasks: dict[str, Task] = {name: partial(other.call, task) for name, other in apart.items()}
        pairs = {("plain", "ours"): goal, ("plain", "off"): "", ("off", "ours"): ""}
        rows += compared(kind, {**tasks, "ours": getattr(ours, task)}, pairs)
    alone: dict[str, Task] = {"plain": ours.alone(_plain(case.arch)), "ours": ours.alone(copy.deepcopy(ours.model))}
    return [*rows, *compared("network alone, training step", alone, {("plain", "ours"): ""})]


@dataclass
class Networks:
    """A network with its loop, one after the other, in this process or in one of its own.

    kernels: how ours are run; None for those of timm and torchvision in the bare loop.
    """

    threads: int
    kernels: CpuKernels | None

    def begin(self) -> None:
        torch.set_num_threads(self.threads)
        if self.kernels is not None:
            runtime(f"runtime.cpu_kernels={self.kernels}", f"runtime.threads={self.threads}", "runtime.device=cpu")

    def take(self, arch: str, size: int) -> Tensor:
        """Get a network and a batch ready; its logits, which all sides have to agree on."""
        torch.manual_seed(0)  # so that all have the same weights
        self.x, self.y = batch_of(size)
        if self.kernels is None:
            self.model = _plain(arch)
            self.optimizer = optimiser(self.model)
        else:
            cpu = torch.device("cpu")
            self.model = fit(OURS[arch].build(10, 32), cpu)
            self.x = self.x.contiguous(memory_format=layout(cpu))
            self.optimizer = sgd(self.model.parameters(), lr=LR, weight_decay=5e-4)
        with torch.inference_mode():
            logits: Tensor = self.model.eval()(self.x)
        return logits.clone()

    def train(self) -> None:
        train_step(self.model.train(), self.optimizer, self.x, self.y)

    @torch.inference_mode()
    def evaluate(self) -> None:
        self.model.eval()(self.x)

    def alone(self, model: nn.Module) -> Task:
        """A training step of `model` on our batch, with torch's fused SGD."""
        optimizer = optimiser(model, "fused")
        return lambda: train_step(model.train(), optimizer, self.x, self.y)


def _plain(arch: str) -> nn.Module:
    return PLAIN[arch](10).to(memory_format=torch.channels_last)
