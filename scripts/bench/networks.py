"""Our networks against those of torchvision and timm, same weights and same function.

A: the network of torchvision or timm in a bare loop with foreach SGD, in a process of its own; B: ours, as a sweep runs
it. Network alone: both in our process, which keeps freed memory, with torch's fused SGD. One step on a batch of 32x32
images in memory, channels last, fp32; A / B is how many times as fast ours is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from apart import Apart
from common import Options, Row, Taken, Task, runtime, turns
from loops import LR, PLAIN, batch_of, optimiser, train_step
from torch import Tensor, nn

from deepunlearn.archs import resnet, tiny_vit
from deepunlearn.ops.optim import sgd


@dataclass(frozen=True)
class Case:
    """steps: how many of ours, and of the plain ones, make up a measurement."""

    arch: str
    title: str
    maker: str
    ours: ModuleType
    batch: int
    repeats: int
    steps: dict[str, int]
    goal: str


CASES = (  # as many steps of our TinyViT as take about as long as one of timm's
    Case("tinyvit", "TinyViT", "timm", tiny_vit, 256, 3, {"ours": 5}, ">= 15"),
    Case("tinyvit", "TinyViT", "timm", tiny_vit, 64, 5, {"ours": 5}, ">= 15"),
    Case("resnet18", "ResNet18", "torchvision", resnet, 256, 9, {"ours": 4, "plain": 4}, ">= 1.35"),
    Case("resnet18", "ResNet18", "torchvision", resnet, 64, 9, {"ours": 16, "plain": 16}, ">= 1.35"),
)


def rows(options: Options) -> list[Row]:
    runtime()
    rows = []
    for case in CASES:
        size, repeats = options.size(case.batch, case.batch // 16), options.size(case.repeats, 1)
        steps = dict.fromkeys(case.steps, 1) if options.quick else case.steps
        rows += _case(case, size, repeats, steps)
    return rows


def _case(case: Case, size: int, repeats: int, steps: dict[str, int]) -> list[Row]:
    x, y = batch_of(size)
    ours = case.ours.build(10, 32).to(memory_format=torch.channels_last)
    plain = PLAIN[case.arch](10).to(memory_format=torch.channels_last)
    plain.load_state_dict(ours.state_dict())
    _check_equal(plain, ours, x)
    apart = Apart(Plain(case.arch, size, torch.get_num_threads()))
    whole = sgd(ours.parameters(), lr=LR, weight_decay=5e-4)
    training: dict[str, Task] = {"plain": lambda: apart.call("train"), "ours": _training(ours, whole, x, y)}
    evaluation: dict[str, Task] = {"plain": lambda: apart.call("evaluate"), "ours": _evaluation(ours, x)}
    alone = {name: _alone(model, x, y) for name, model in (("plain", plain), ("ours", ours))}

    def row(kind: str, tasks: dict[str, Task], goal: str = "") -> Row:
        taken = turns(repeats, tasks, steps)
        sides = [Taken(label, taken[name], size) for name, label in (("plain", case.maker), ("ours", "ours"))]
        return Row(f"{case.title}, {kind}, batch {size}", *sides, goal)

    rows = [row("training step", training, case.goal), row("evaluation", evaluation)]
    apart.close()
    return [*rows, row("network alone, training step", alone)]


@dataclass
class Plain:
    """The bare loop, for a process of its own."""

    arch: str
    size: int
    threads: int

    def begin(self) -> None:
        torch.set_num_threads(self.threads)
        model = PLAIN[self.arch](10).to(memory_format=torch.channels_last)
        x, y = batch_of(self.size)
        self._train, self._evaluate = _training(model, optimiser(model), x, y), _evaluation(model, x)

    def train(self) -> None:
        self._train()

    def evaluate(self) -> None:
        self._evaluate()


def _alone(model: nn.Module, x: Tensor, y: Tensor) -> Task:
    model = copy.deepcopy(model)
    return _training(model, optimiser(model, "fused"), x, y)


def _training(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Callable[[], None]:
    def train() -> None:
        model.train()
        train_step(model, optimizer, x, y)

    return train


def _evaluation(model: nn.Module, x: Tensor) -> Callable[[], None]:
    def evaluate() -> None:
        with torch.inference_mode():
            model.eval()(x)

    return evaluate


@torch.inference_mode()
def _check_equal(plain: nn.Module, ours: nn.Module, x: Tensor) -> None:
    torch.testing.assert_close(plain.eval()(x), ours.eval()(x), rtol=1e-3, atol=1e-4)
