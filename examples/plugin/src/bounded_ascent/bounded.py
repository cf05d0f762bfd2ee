"""Gradient ascent that stops where the model knows a sample as little as chance."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.optim import descend


class BoundedAscent(Method):
    """Raise the loss of each forget sample up to log K, the loss of a guess among K classes, and not further.

    theta <- theta - lr * grad -min(CE(f_theta; x, y), log K), by SGD with momentum 0.9 at a constant rate.
    Source: an example, without a paper.
    """

    lr: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        def loss(inputs: Tensor, labels: Tensor) -> Tensor:
            logits = problem.model(inputs)
            losses = F.cross_entropy(logits, labels, reduction="none")
            return -torch.clamp(losses, max=math.log(logits.shape[1])).mean()

        problem.model.train()
        step = problem.step(loss, problem.sgd(lr=self.lr))
        yield from descend(step, lambda: problem.batches(problem.forget, self.batch_size), [self.lr] * self.epochs)
