"""Which weights matter most."""

from __future__ import annotations

import torch
from torch import Tensor


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
