"""Shares of a network's entries that grow with depth: early layers hold what all classes have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn


def share_at(layer: int, layers: int, first: float, last: float, power: float) -> float:
    """`first` in the first of the layers, `last` in the last, between them by (layer / (layers - 1)) ** power."""
    depth = layer / (layers - 1) if layers > 1 else 1.0
    return float(first + (last - first) * depth**power)


def shares_by_depth(names: Iterable[str], first: float, last: float, power: float) -> dict[str, float]:
    """`share_at` of each tensor, named as in `state_dict`; tensors of one module are of one layer."""
    layer_of = {name: name.rpartition(".")[0] for name in names}
    numbers = {layer: number for number, layer in enumerate(dict.fromkeys(layer_of.values()))}
    return {name: share_at(numbers[layer], len(numbers), first, last, power) for name, layer in layer_of.items()}


def random_masks(
    shapes: Mapping[str, torch.Size], shares: Mapping[str, float], generator: torch.Generator
) -> dict[str, Tensor]:
    """Boolean, true at round(share x entries) entries of each tensor that a CPU generator draws."""
    return {
        name: _mask(torch.randperm(shape.numel(), generator=generator), shape, shares[name])
        for name, shape in shapes.items()
    }


class HasWeights(Protocol):
    """What a method's problem offers for this."""

    model: nn.Module
    generator: torch.Generator

    def movable(self, params: Iterable[nn.Parameter], what: str) -> list[nn.Parameter]: ...


def layerwise_masks(problem: HasWeights, first: float, last: float, power: float) -> dict[nn.Parameter, Tensor]:
    """Where a weight may move, for each that is not frozen: a random share of each tensor, `share_at` of its layer.

    Source: Gogineni and Nadimi 2025, algorithms 2 and 3, which mask gradient ascent and label flipping in this way.
    """
    movable = {id(one) for one in problem.movable(problem.model.parameters(), "everything that the mask is made of")}
    weights = {name: one for name, one in problem.model.named_parameters() if id(one) in movable}
    shares = shares_by_depth(weights, first, last, power)
    masks = random_masks({name: one.shape for name, one in weights.items()}, shares, problem.generator)
    return {weights[name]: mask.to(weights[name].device) for name, mask in masks.items()}


def largest_masks(values: Mapping[str, Tensor], shares: Mapping[str, float]) -> dict[str, Tensor]:
    """Boolean, true at the round(share x entries) entries of each tensor that are furthest from 0."""
    return {
        name: _mask(value.abs().flatten().argsort(descending=True, stable=True), value.shape, shares[name])
        for name, value in values.items()
    }


def _mask(order: Tensor, shape: torch.Size, share: float) -> Tensor:
    """True at the first of the positions in `order`, int64 [entries]."""
    mask = torch.zeros(shape.numel(), dtype=torch.bool, device=order.device)
    mask[order[: round(share * shape.numel())]] = True
    return mask.view(shape)
