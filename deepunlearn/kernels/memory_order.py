"""Optimisers see every weight with its dimensions in the order they have in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class InMemoryOrder:
    """Lets `optimizer`, one of torch's fused ones, see every weight with its dimensions in their order in memory.

    torch's fused kernels for the CPU pair entries of weight, gradient and state by their place in memory, and copy what
    is channels last first (docs/performance.md). So gradients are given their weight's strides: those of a backward
    pass have them, one that was assigned (`weight.grad = ...`) need not, and the update would be silently wrong. And
    for the length of a step on the CPU, weights are viewed with their dimensions sorted: the same memory, contiguous.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._turned: list[tuple[Tensor, list[int]]] = []
        optimizer.register_step_pre_hook(self._before)
        optimizer.register_step_post_hook(self._after)

    def _before(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        for group in optimizer.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if weight.grad.stride() != weight.stride():
                    weight.grad = torch.empty_like(weight).copy_(weight.grad)
                if weight.device.type == "cpu" and not weight.is_contiguous():
                    order = sorted(range(weight.ndim), key=weight.stride, reverse=True)
                    self._turned.append((weight, order))
                    _turn(optimizer, weight, order)

    def _after(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        for weight, order in self._turned:
            _turn(optimizer, weight, [order.index(place) for place in range(len(order))])
        self._turned.clear()


def _turn(optimizer: torch.optim.Optimizer, weight: Tensor, order: Sequence[int]) -> None:
    """Permute the dimensions of `weight`, its gradient and what `optimizer` keeps for it; nothing is copied."""
    gradient, state = weight.grad, optimizer.state.get(weight, {})
    weight.data = weight.data.permute(*order)
    weight.grad = None if gradient is None else gradient.permute(*order)
    for name, value in state.items():
        if isinstance(value, Tensor) and value.ndim == weight.ndim:
            state[name] = value.permute(*order)
