"""Decoupled distillation to erase."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.labels import without
from deepunlearn.ops.optim import descend


class Delete(Method):
    """DELETE: on forget samples be like the original, had it never known their class.

    L(x, y) = KL(p || softmax(f_theta(x))), p = softmax of f_O(x) with entry y at minus infinity: the probability of the
    true class is 0, those of the others keep their ratios. Mean over batches of D_F alone; SGD with momentum 0.9 at a
    constant rate.
    Source: Zhou et al. 2025 (arXiv 2503.23751), section 4.3.
    It is made for forgetting classes. Normalisation uses and updates batch statistics, as published.
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.train()

        def loss(x: Tensor, y: Tensor) -> Tensor:
            with torch.no_grad():
                target = without(problem.original(x), y).softmax(1)
            return F.kl_div(problem.model(x).log_softmax(1), target, reduction="batchmean")

        step = problem.step(loss, problem.sgd(lr=self.lr, weight_decay=self.weight_decay))
        yield from descend(step, lambda: problem.batches(problem.forget, self.batch_size), [self.lr] * self.epochs)
