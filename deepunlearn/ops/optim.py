"""Optimisers and learning-rate schedules. Methods take theirs from here, never from torch.optim."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from deepunlearn.ops.step import Step


def sgd(params: Iterable[Tensor], *, lr: float, weight_decay: float = 0.0, momentum: float = 0.9) -> torch.optim.SGD:
    """SGD over `params`; updates all tensors in one call (foreach), which rounds as the plain loop does."""
    return torch.optim.SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, foreach=True)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def cosine(lr: float, epochs: int, end: float = 0.0) -> list[float]:
    """The rate of each epoch: cosine annealing from `lr` towards `end`, which it would reach after the last epoch."""
    return [end + (lr - end) * (1 + math.cos(math.pi * epoch / epochs)) / 2 for epoch in range(epochs)]


def warm_up_then_fall(lr: float, epochs: int) -> list[float]:
    """Rises linearly to `lr` over the first ceil(epochs / 2) epochs, then falls linearly to 0 at epoch `epochs` + 1."""
    rise = math.ceil(epochs / 2)
    up = [lr * epoch / rise for epoch in range(1, rise + 1)]
    down = [lr * (epochs + 1 - epoch) / (epochs + 1 - rise) for epoch in range(rise + 1, epochs + 1)]
    return up + down


def descend(step: Step, batches: Callable[[], Iterable[tuple[Tensor, ...]]], rates: Iterable[float]) -> Iterator[None]:
    """One epoch over `batches()` at each of `rates`; yields after each."""
    for rate in rates:
        set_lr(step.optimizer, rate)
        for batch in batches():
            step(*batch)
        yield
