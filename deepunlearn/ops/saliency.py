"""Which weights matter most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from deepunlearn.data.loader import Part
from deepunlearn.ops.ranks import first

GRADIENT_BATCH = 256  # of the gradient pass; does not change its result beyond rounding


class HasForgetSet(Protocol):
    """What a method's problem offers for this."""

    model: nn.Module
    forget: Part

    def blocks(self, part: Part, size: int) -> Iterator[tuple[Tensor, Tensor]]: ...

    def gradients(self, batches: Iterable[tuple[Tensor, Tensor]], params: list[nn.Parameter]) -> list[Tensor]: ...

    def movable(self, params: Iterable[nn.Parameter], what: str) -> list[nn.Parameter]: ...


def saliency_masks(problem: HasForgetSet, fraction: float) -> dict[nn.Parameter, Tensor]:
    """For each weight that may move, where it is among the `fraction` that the forget set pulls on most.

    That is |gradient of CE over the forget set|, the network in evaluation mode, in which it is left.
    """
    problem.model.eval()
    weights = problem.movable(problem.model.parameters(), "everything that the mask is made of")
    gradients = problem.gradients(problem.blocks(problem.forget, GRADIENT_BATCH), weights)
    return dict(zip(weights, largest([gradient.abs() for gradient in gradients], fraction), strict=True))


def largest(scores: list[Tensor], fraction: float) -> list[Tensor]:
    """Boolean masks of the round(`fraction` x n) largest of all n entries of `scores` together, at least one.

    Ties go to the earlier entry.
    """
    flat = torch.cat([score.flatten() for score in scores])
    mask = first(flat, max(1, round(fraction * flat.numel())), largest=True)
    pieces = mask.split([score.numel() for score in scores])
    return [piece.view(score.shape) for piece, score in zip(pieces, scores, strict=True)]
