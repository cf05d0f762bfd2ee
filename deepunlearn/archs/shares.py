"""Whether a network gives shares (probabilities) where logits are wanted: a softmax at its end that does not belong."""

from __future__ import annotations

import torch
from torch import Tensor

REMEDY = "leave the softmax at the end out: losses and scores take it themselves"
ROUNDING = 1e-4
PASSED_ON = ("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "ToCopy", "Clone")  # that change no number


def are_shares(outputs: Tensor) -> bool:
    """Whether each row of [B, K] lies in [0, 1] and sums to 1; never of one row alone, which may be so by chance."""
    if len(outputs) < 2:
        return False
    rows = outputs.detach().double()
    within = bool(((rows >= 0) & (rows <= 1)).all())
    off = (rows.sum(1) - 1).abs().max()
    return within and float(off) <= max(ROUNDING, 4 * torch.finfo(outputs.dtype).eps)


def end_in_softmax(outputs: Tensor) -> bool:
    """Whether the last step that made `outputs` is a softmax; known without numbers, as on PyTorch's meta device."""
    node = outputs.grad_fn
    while node is not None and node.name().startswith(PASSED_ON):
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("SoftmaxBackward")
