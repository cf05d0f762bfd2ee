"""Losses that compare a student's logits with a teacher's, all means over the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def kl(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(softmax(teacher / T) || softmax(student / T)) of logits [N, K]; no factor T^2."""
    return F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )


def soft_cross_entropy(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """- sum_k softmax(teacher / T)_k log softmax(student / T)_k."""
    targets = F.softmax(teacher / temperature, dim=1)
    return -(targets * F.log_softmax(student / temperature, dim=1)).sum(1).mean()


def kl_from_uniform(logits: Tensor) -> Tensor:
    """KL(uniform || softmax(logits)): pushes towards knowing nothing."""
    return kl(torch.zeros_like(logits), logits)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of softmax(logits) per sample, [N], in nats."""
    log = F.log_softmax(logits, dim=1)
    return -(log.exp() * log).sum(1)


def contrast(forget: Tensor, retain: Tensor, temperature: float) -> Tensor:
    """Mean of -log_softmax(z_f z_r^T / T) over pairs, softmax over the retain batch (FCS)."""
    return -F.log_softmax(forget @ retain.T / temperature, dim=1).mean()
