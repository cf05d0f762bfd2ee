"""Finding and re-drawing convolution weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from deepunlearn.ops.ranks import first

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


def convolutions(model: nn.Module) -> list[Convolution]:
    """The convolution layers of `model` in the order of its modules."""
    return [module for module in model.modules() if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)]


def weights_of(layers: Iterable[Convolution | nn.Linear]) -> list[nn.Parameter]:
    """The weights of the layers, one that several share once; torch declares them as tensors."""
    return list(dict.fromkeys(cast("nn.Parameter", layer.weight) for layer in layers))


def smallest(scores: Tensor, fraction: float) -> Tensor:
    """A boolean mask of the round(`fraction` x n) entries with the smallest `scores`; ties go to the lower index."""
    return first(scores.flatten(), round(fraction * scores.numel()), largest=False).view(scores.shape)


@torch.no_grad()
def redraw(weight: nn.Parameter, where: Tensor) -> None:
    """Replace the entries of a convolution `weight` at `where` by Kaiming normal values (fan-out, ReLU), in place."""
    fresh = torch.empty(weight.shape, device=weight.device)
    nn.init.kaiming_normal_(fresh, mode="fan_out", nonlinearity="relu")
    weight.copy_(torch.where(where, fresh, weight))
