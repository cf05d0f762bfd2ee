"""Other labels for forget samples, and class weights."""

from __future__ import annotations

import torch
from torch import Tensor

from deepunlearn.data.loader import Part


def random_labels(labels: Tensor, classes: int, generator: torch.Generator, *, wrong: bool = False) -> Tensor:
    """int64 [N] drawn uniformly over all classes; with `wrong` over those other than each sample's own.

    Drawn from a CPU generator, returned on the device of `labels`.
    """
    if not wrong:
        return torch.randint(classes, labels.shape, generator=generator).to(labels.device)
    shift = torch.randint(1, classes, labels.shape, generator=generator).to(labels.device)
    return (labels + shift) % classes


def relabelled(retain: Part, forget: Part, labels: Tensor) -> Part:
    """Retain samples with their own labels, followed by forget samples with `labels` [len(forget)]."""
    return retain.joined(forget).with_labels(torch.cat([retain.labels, labels]))


def class_counts(part: Part, classes: int) -> Tensor:
    """Samples per class, [classes] of torch's default type; from the labels, without a pass over images."""
    return torch.bincount(part.labels, minlength=classes).to(torch.get_default_dtype())


def without(logits: Tensor, labels: Tensor) -> Tensor:
    """`logits` [N, K] with minus infinity at each sample's label, int64 [N]."""
    return logits.scatter(1, labels[:, None], -torch.inf)
