"""Sparsity-promoting fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from deepunlearn.methods.base import Method, Problem


class SparseFineTuning(Method):
    """L1-sparse: fine-tune on the retain set while an L1 penalty, which fades, pushes weights to zero.

    theta <- theta - lr * grad [CE(f_theta; D_R) + gamma_t ||theta||_1], gamma_t = gamma (1 - t / E) in epoch t from 0:
    it falls linearly and would be 0 after the last epoch. SGD with momentum 0.9, constant rate.
    Source: Jia et al. 2023 (arXiv 2304.04934), equation 4 and the linearly decreasing schedule of its section 4.
    The norm is that of all weights that are trained; what the model's owner froze is not penalised.
    """

    lr: float
    gamma: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.train()
        weights = [parameter for parameter in problem.model.parameters() if parameter.requires_grad]
        gamma = torch.zeros(())  # of this epoch
        step = problem.step(lambda x, y: problem.cross_entropy(x, y) + gamma * l1(weights), problem.sgd(lr=self.lr))
        for epoch in range(self.epochs):
            gamma.fill_(self.gamma * (1 - epoch / self.epochs))
            for batch in problem.batches(problem.retain, self.batch_size):
                step(*batch)
            yield


def l1(weights: list[torch.nn.Parameter]) -> Tensor:
    """The sum of absolute values, a scalar; its gradient is 0 where a weight is 0."""
    return torch.stack([weight.abs().sum() for weight in weights]).sum()
