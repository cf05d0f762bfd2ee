"""What the oracles of the methods share: data, runs, plain optimisers and losses, comparisons.

Each method has a slow, plain reference in the file of its name. References import nothing from methods or ops: they
hold images in one tensor, update one parameter at a time and re-draw labels, noise and orders from generators with the
seed of the run. Where rounding could flip a ReLU and grow, they compute in double precision (`double_precision` in
conftest.py), so that what is compared agrees far more closely than any deviation of a method would.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn import archs
from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.composition import load_method
from deepunlearn.core.batches import training_batches
from deepunlearn.core.params import Value
from deepunlearn.data.loader import Part
from deepunlearn.methods.base import Problem
from deepunlearn.running import Run, execute, working_copy
from deepunlearn.runtime import global_seed
from deepunlearn.testing.small import ARCHS, CLASSES, equal_states, make_problem, model, parts, runtime, state
from tests.networks import Odd

Batch = tuple[Tensor, Tensor]
State = dict[str, Tensor]

SEED = 5
DATA = parts()
RETAIN, FORGET = len(DATA["retain"]), len(DATA["forget"])
KEPT_PER_CLASS = (24, 16, 9, 7)  # uneven, so that class weights matter


def skewed(part: Part) -> Part:
    positions = [(part.labels == label).nonzero().flatten()[:count] for label, count in enumerate(KEPT_PER_CLASS)]
    return part.subset(torch.cat(positions))


UNEVEN = {**DATA, "retain": skewed(DATA["retain"])}
STILL = 1e-60  # a rate at which float32 weights stay as they are, those that are 0 included
FEW = {**DATA, "retain": DATA["retain"].subset(range(24))}  # for gradients of single samples


def everything(part: str | Part) -> Batch:
    """All images and true labels of a part (of DATA, where it is given by name), in its own order."""
    (batch,) = (DATA[part] if isinstance(part, str) else part).batches(10_000)
    return batch


def shuffled(samples: Batch, size: int, generator: torch.Generator) -> list[Batch]:
    """One epoch in a fresh order, a small remainder spread over the other batches."""
    x, y = samples
    groups = torch.randperm(len(y), generator=generator).split(training_batches(len(y), size))
    return [(x[group].contiguous(memory_format=torch.channels_last), y[group]) for group in groups]


def in_rounds(samples: Batch, size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Batches without end, shuffled anew whenever the samples are used up."""
    while True:
        yield from shuffled(samples, size, generator)


# ------------------------------------------------------------------------------------------------------------ networks


@cache
def trained() -> nn.Module:
    """A network whose statistics and outputs are no longer those of a fresh one."""
    net = model().train()
    x, y = everything("train")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(8):
        optimizer.zero_grad()
        F.cross_entropy(net(x.float()), y).backward()  # also where images are of double precision
        optimizer.step()
    return net.eval().requires_grad_(False)


def confident(net: nn.Module) -> nn.Module:
    """As if trained: running statistics that differ from a batch's, and confident, varied predictions."""
    torch.manual_seed(1)
    net.train()
    with torch.no_grad():
        for x, _ in DATA["retain"].batches(32):
            net(x + 0.5 * torch.randn(1))
        net.get_submodule("head").weight.mul_(15)
    return net.requires_grad_(False).eval()


def student_of(original: nn.Module) -> nn.Module:
    return copy.deepcopy(original).requires_grad_(True)


def odd(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return odd_now()


def odd_now() -> nn.Module:
    return runtime().to_device(Odd())


def odd_anatomy(net: nn.Module) -> Anatomy:
    return Anatomy(net, {"stem": "stem", "blocks": [f"blocks.{index}" for index in range(4)], "head": "head"})


def small_now() -> nn.Module:
    return runtime().to_device(archs.build(ARCHS["smallnet"], CLASSES, 32))


def fresh_network(build: Callable[[], nn.Module]) -> nn.Module:
    """The network that is built first under the run's global random state."""
    torch.manual_seed(global_seed(SEED))
    return build()


def take(target: nn.Module, source: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Copy every entry of the state dict, buffers included, whose name starts with one of `prefixes`."""
    with torch.no_grad():
        for name, value in target.state_dict().items():
            if name.startswith(prefixes):
                value.copy_(source.state_dict()[name])


# ---------------------------------------------------------------------------------------------------------------- runs


def problem_of(original: nn.Module, generator: torch.Generator, data: dict[str, Part], arch: str) -> Problem:
    here = runtime()
    if arch != "odd":
        return make_problem(original, arch, generator, data, here)
    problem = make_problem(model(), "smallnet", generator, data, here)
    problem.original, problem.model = original, working_copy(original)
    problem.anatomy, problem._fresh = odd_anatomy(problem.model), odd_now
    return problem


def execute_on(
    name: str, original: nn.Module, data: dict[str, Part], arch: str = "smallnet", seed: int = SEED, **params: Value
) -> tuple[nn.Module, Run]:
    method = load_method(name)(**params)
    return execute(method, lambda generator: problem_of(original, generator, data, arch), runtime(), seed)


def run(
    name: str,
    original: nn.Module,
    data: dict[str, Part] = DATA,
    arch: str = "smallnet",
    seed: int = SEED,
    **params: Value,
) -> nn.Module:
    return execute_on(name, original, data, arch, seed, **params)[0]


def run_by_epoch(
    name: str, original: nn.Module, data: dict[str, Part] = DATA, arch: str = "smallnet", **params: Value
) -> tuple[nn.Module, list[State]]:
    """The unlearned model and the state at each yield."""
    seen: list[State] = []
    unlearned, _ = execute(
        load_method(name)(**params),
        lambda generator: problem_of(original, generator, data, arch),
        runtime(),
        SEED,
        lambda _, net: seen.append(state(net)),
    )
    return unlearned, seen


def passes_of(monkeypatch: pytest.MonkeyPatch, name: str, **params: Value) -> list[int]:
    """The sizes of what a run passes over, in order.

    E.g. class weights come from the labels, and nothing evaluates inside the timed region.
    """
    passes: list[int] = []
    one_pass = Part._pass

    def recording(self: Part, *arguments: Any, **options: Any) -> Iterator[Batch]:
        passes.append(len(self))
        return one_pass(self, *arguments, **options)

    monkeypatch.setattr(Part, "_pass", recording)
    run(name, model().double(), **params)
    return passes


# ------------------------------------------------------------------------------------------------- optimisers and rates


class PlainSGD:
    """w <- w - lr v, v <- momentum v + (g + decay (w - towards)), one tensor at a time.

    Parameters outside `names` stay put, and so do entries outside `masks`; `towards` is 0 where it is not given.
    """

    def __init__(
        self,
        net: nn.Module,
        decay: float,
        momentum: float = 0.9,
        *,
        names: set[str] | None = None,
        masks: list[Tensor] | None = None,
        towards: State | None = None,
    ) -> None:
        self.params = {name: p for name, p in net.named_parameters() if names is None or name in names}
        self.decay, self.momentum, self.towards = decay, momentum, towards or {}
        self.masks = masks or [torch.ones_like(p, dtype=torch.bool) for p in self.params.values()]
        self.velocity = [torch.zeros_like(p) for p in self.params.values()]

    def step(self, loss: Tensor, lr: float) -> None:
        self.move(dict(zip(self.params, torch.autograd.grad(loss, list(self.params.values())), strict=True)), lr)

    def move(self, gradients: State, lr: float) -> None:
        with torch.no_grad():
            for (name, parameter), velocity, mask in zip(self.params.items(), self.velocity, self.masks, strict=True):
                pull = self.decay * (parameter - self.towards.get(name, 0))
                velocity.mul_(self.momentum).add_(gradients[name] + pull)
                parameter[mask] -= lr * velocity[mask]


class PlainAdam:
    """Kingma and Ba's algorithm 1 with an L2 term, one tensor at a time; entries outside `masks` stay put."""

    def __init__(self, net: nn.Module, decay: float, masks: list[Tensor] | None = None) -> None:
        self.params, self.decay, self.steps = list(net.parameters()), decay, 0
        self.masks = masks or [torch.ones_like(p, dtype=torch.bool) for p in self.params]
        self.first, self.second = ([torch.zeros_like(p) for p in self.params] for _ in range(2))

    def step(self, loss: Tensor, lr: float) -> None:
        gradients = torch.autograd.grad(loss, self.params)
        self.steps += 1
        with torch.no_grad():
            for weight, gradient, m, v, mask in zip(
                self.params, gradients, self.first, self.second, self.masks, strict=True
            ):
                whole = gradient + self.decay * weight
                m.mul_(0.9).add_(0.1 * whole)
                v.mul_(0.999).add_(0.001 * whole**2)
                change = m / (1 - 0.9**self.steps) / ((v / (1 - 0.999**self.steps)).sqrt() + 1e-8)
                weight[mask] -= lr * change[mask]


def cosine(lr: float, step: int, steps: int, end: float = 0.0) -> float:
    return end + (lr - end) * 0.5 * (1 + math.cos(math.pi * step / steps))


# ------------------------------------------------------------------------------------------------ losses and gradients


def softmax(logits: Tensor) -> Tensor:
    return logits.exp() / logits.exp().sum(1, keepdim=True)


def mean_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return -torch.stack([row.log_softmax(0)[label] for row, label in zip(logits, y, strict=True)]).mean()


def divergence(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Mean over samples of sum_k p_k (log p_k - log q_k), p and q the softmax of logits / T, written out."""
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return (p * (p.log() - q.log())).sum() / len(p)


def gradient(net: nn.Module, x: Tensor, label: Tensor | int) -> State:
    """The gradient of one sample's cross-entropy, through ordinary autograd."""
    loss = F.cross_entropy(net(x[None]), torch.as_tensor(label).view(1))
    names = [name for name, _ in net.named_parameters()]
    return dict(zip(names, torch.autograd.grad(loss, list(net.parameters())), strict=True))


def mean_gradient(net: nn.Module, samples: Batch) -> State:
    """Per-sample gradients, averaged: slow, and blind to batch sizes."""
    gradients = [gradient(net, one, label) for one, label in zip(*samples, strict=True)]
    return {name: torch.stack([each[name] for each in gradients]).mean(0) for name in gradients[0]}


def flat(values: State) -> Tensor:
    """All entries in one row, in double precision."""
    return torch.cat([value.flatten() for value in values.values()]).double()


def gradient_rows(net: nn.Module, part: Part) -> Tensor:
    """[N, P] per-sample gradients in double precision."""
    x, y = everything(part)
    return torch.stack([flat(gradient(net, one, label)) for one, label in zip(x, y, strict=True)])


# --------------------------------------------------------------------------------------------------------- comparisons


def close(one: nn.Module | State, other: nn.Module | State, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """Every entry of two states agrees; tolerances are a hundredth in double precision."""
    found, expected = (each.state_dict() if isinstance(each, nn.Module) else each for each in (one, other))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        finer = 0.01 if value.dtype is torch.float64 else 1.0
        torch.testing.assert_close(
            value, expected[name], rtol=finer * rtol, atol=finer * atol, msg=lambda text, name=name: f"{name}: {text}"
        )


def same(one: State, other: State, prefixes: tuple[str, ...]) -> bool:
    chosen = [name for name in one if name.startswith(prefixes)]
    assert chosen
    return all(torch.equal(one[name], other[name]) for name in chosen)


def changed(before: State, after: State) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def near(change: Tensor, expected: Tensor, tolerance: float = 1e-3) -> None:
    assert float((change - expected).norm() / expected.norm()) < tolerance


def check_teacher_stays(name: str, **params: Value) -> None:
    """Teachers are independent of the student and stay as they are, whose statistics move."""
    original = copy.deepcopy(trained())
    before = state(original)
    unlearned = run(name, original, **params)
    assert equal_states(before, state(original)), "weights or statistics of the teacher moved"
    assert not any(module.training for module in original.modules())
    assert all(parameter.grad is None for parameter in original.parameters())
    statistics = [key for key in before if "running" in key]
    assert statistics and not any(torch.equal(state(unlearned)[key], before[key]) for key in statistics)
