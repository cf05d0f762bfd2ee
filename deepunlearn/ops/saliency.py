"""Which weights matter most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from deepunlearn.data.loader import Part

GRADIENT_BATCH = 256  # of the gradient pass; does not change its result beyond rounding


class HasForgetSet(Protocol):
    """What a method's problem offers for this."""

    model: nn.Module
    forget: Part

    def batches(self, part: Part, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]: ...

    def gradients(self, batches: Iterable[tuple[Tensor, Tensor]], params: list[nn.Parameter]) -> list[Tensor]: ...


def forget_saliency(problem: HasForgetSet) -> list[Tensor]:
    """|gradient of CE over the forget set| per parameter, in the model's order; leaves it in evaluation mode."""
    problem.model.eval()
    weights = list(problem.model.parameters())
    return [g.abs() for g in problem.gradients(problem.batches(problem.forget, GRADIENT_BATCH), weights)]


def largest(scores: list[Tensor], fraction: float) -> list[Tensor]:
    """Boolean masks of the round(`fraction` x n) largest of all n entries of `scores` together, at least one.

    Ties go to the earlier entry.
    """
    flat = torch.cat([score.flatten() for score in scores])
    count = max(1, round(fraction * flat.numel()))
    mask = torch.zeros(flat.numel(), dtype=torch.bool, device=flat.device)
    mask[flat.argsort(descending=True, stable=True)[:count]] = True
    pieces = mask.split([score.numel() for score in scores])
    return [piece.view(score.shape) for piece, score in zip(pieces, scores, strict=True)]
