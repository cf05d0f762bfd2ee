"""Optimisers and learning-rate schedules. Methods take theirs from here, never from torch.optim."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from deepunlearn.kernels.choice import in_one_pass
from deepunlearn.kernels.memory_order import InMemoryOrder
from deepunlearn.ops.step import Step

Masks = Mapping[Tensor, Tensor]
Number = TypeVar("Number", float, Tensor)  # of one network, or [K] of networks that are trained together


def sgd(
    params: Iterable[Tensor],
    *,
    lr: float,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    masks: Masks | None = None,
) -> torch.optim.SGD:
    """SGD over `params`, in one pass over memory where CPU kernels are in use or on an accelerator."""
    weights = list(params)
    fused = in_one_pass(weights)
    optimizer = torch.optim.SGD(weights, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused)
    _adapt(optimizer, fused, masks)
    return optimizer


def adam(
    params: Iterable[Tensor], *, lr: float, weight_decay: float = 0.0, masks: Masks | None = None
) -> torch.optim.Adam:
    """Adam with torch's betas (0.9, 0.999); its passes over memory as those of `sgd`."""
    weights = list(params)
    fused = in_one_pass(weights)
    optimizer = torch.optim.Adam(weights, lr=lr, weight_decay=weight_decay, fused=fused)
    _adapt(optimizer, fused, masks)
    return optimizer


def _adapt(optimizer: torch.optim.Optimizer, fused: bool, masks: Masks | None) -> None:
    if fused:
        InMemoryOrder(optimizer)
    _hold(optimizer, masks)


def _hold(optimizer: torch.optim.Optimizer, masks: Masks | None) -> None:
    """After every step put back the entries of each weight where its mask (boolean, same shape) is false.

    Masking the update instead of the gradient is what keeps momentum and weight decay from moving them.
    """
    if not masks:
        return
    held = [(weight, mask, weight.detach().clone()) for weight, mask in masks.items()]

    @torch.no_grad()
    def put_back(*_: object) -> None:
        for weight, mask, value in held:
            weight.copy_(torch.where(mask, weight, value))

    optimizer.register_step_post_hook(put_back)


def set_lr(optimizer: torch.optim.Optimizer, lr: float | Tensor) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def constant(lr: Number, epochs: int | Tensor) -> list[Number]:
    """The same rate in each epoch. Of networks that are trained together, a float64 [K] of each, in the longest run."""
    return [lr] * _longest(epochs)


def cosine(lr: Number, epochs: int | Tensor, end: float = 0.0) -> list[Number]:
    """The rate of each epoch: cosine annealing from `lr` towards `end`, which it would reach after the last epoch.

    Of networks that are trained together as `constant`; what a rate is after a network's own last epoch says nothing.
    """
    return [end + (lr - end) * (1 + _cosine(math.pi * epoch / epochs)) / 2 for epoch in range(_longest(epochs))]


def _longest(epochs: int | Tensor) -> int:
    return int(epochs.max()) if isinstance(epochs, Tensor) else epochs


def _cosine(angle: Any) -> Any:
    return torch.cos(angle) if isinstance(angle, Tensor) else math.cos(angle)


def warm_up_then_fall(lr: float, epochs: int) -> list[float]:
    """Rises linearly to `lr` over the first ceil(epochs / 2) epochs, then falls linearly to 0 at epoch `epochs` + 1."""
    rise = math.ceil(epochs / 2)
    up = [lr * epoch / rise for epoch in range(1, rise + 1)]
    down = [lr * (epochs + 1 - epoch) / (epochs + 1 - rise) for epoch in range(rise + 1, epochs + 1)]
    return up + down


def thirds(epochs: int) -> list[int]:
    """int(.5 E), int(.8 E), int(.9 E): the milestones of CF-k, EU-k and SCRUB."""
    return [int(share * epochs) for share in (0.5, 0.8, 0.9)]


def steps_down(lr: float, epochs: int, factor: float, milestones: Sequence[int], start: int = 0) -> list[float]:
    """The rate of each epoch, numbered from `start`: multiplied by `factor` once the epoch exceeds each milestone."""
    numbers = range(start, start + epochs)
    return [lr * factor ** sum(epoch > milestone for milestone in milestones) for epoch in numbers]


def descend(
    step: Step, batches: Callable[[], Iterable[tuple[Tensor, ...]]], rates: Iterable[float | Tensor]
) -> Iterator[None]:
    """One epoch over `batches()` at each of `rates`; yields after each."""
    for rate in rates:
        set_lr(step.optimizer, rate)
        for batch in batches():
            step(*batch)
        yield
