"""Convolution transpose."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from deepunlearn.core.errors import NotApplicable
from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.convolutions import convolutions, weights_of
from deepunlearn.ops.optim import cosine, descend


class ConvolutionTranspose(Method):
    """CT: swap height and width of every convolution kernel, then fine-tune on the retain set.

    W[o, i, h, w] <- W[o, i, w, h] in place, then as FT: SGD with momentum 0.9, cosine to 0, cross-entropy on D_R.
    Source: 5th place of the NeurIPS 2023 machine unlearning challenge; the paper, section 3.
    Kernels of size 1 x 1 and frozen ones stay what they are.
    Escapes a weight mask: the transposition.
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        transpose(problem.movable(kernels(problem.model), "every kernel that is to be transposed"))
        problem.model.train()
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr, weight_decay=self.weight_decay))
        yield from descend(step, lambda: problem.batches(problem.retain, self.batch_size), cosine(self.lr, self.epochs))


def kernels(model: nn.Module) -> list[nn.Parameter]:
    """The square 2-d kernels larger than 1 x 1. Raises NotApplicable where there is none."""
    weights = weights_of(convolutions(model))
    square = [weight for weight in weights if weight.dim() == 4 and weight.shape[-1] == weight.shape[-2] > 1]
    if not square:
        raise NotApplicable(
            "ct has nothing to transpose in this model",
            given=f"{len(weights)} convolutions",
            allowed="at least one square 2-d convolution kernel larger than 1 x 1",
            remedy="use another method: python -m deepunlearn.methods lists them",
        )
    return square


@torch.no_grad()
def transpose(weights: list[nn.Parameter]) -> None:
    """Swap the last two dimensions of each weight in place, so that optimisers and compiled steps keep holding it."""
    for weight in weights:
        weight.copy_(weight.transpose(-1, -2).clone())
