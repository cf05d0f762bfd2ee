"""Advanced negative gradient."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.optim import descend


class AdvancedNegativeGradient(Method):
    """AdvNegGrad: descend on the retain set and ascend on the forget set, both in one forward pass.

    theta <- theta - lr * grad [CE(f_theta; batch of D_R) - alpha CE(f_theta; batch of D_F)], D_F cycled, E epochs over
    D_R. Unlike NG+ in training mode, so that the two batches share the batch statistics, and with equal weights
    (alpha 1). Adam.
    Source: Choi and Na 2023 (arXiv 2311.02240), section 4.2, with the optimiser of D'Angelo et al. 2025 (ERASURE).
    Deviations: all batches count (the published code skips a pair of unequal size); a smaller default lr than ERASURE's
    0.001, which makes the network collapse on a random forget set (as does 0.0001 on 4,000 samples, docs/methods.md).
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    alpha: float

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.train()
        step = problem.step(
            lambda *batches: self._loss(problem, *batches),
            problem.adam(lr=self.lr, weight_decay=self.weight_decay),
        )
        forget = problem.endless(problem.forget, self.batch_size)

        def batches() -> Iterator[tuple[Tensor, ...]]:
            for batch in problem.batches(problem.retain, self.batch_size):
                yield *batch, *next(forget)

        yield from descend(step, batches, [self.lr] * self.epochs)

    def _loss(self, problem: Problem, x: Tensor, y: Tensor, forget_x: Tensor, forget_y: Tensor) -> Tensor:
        logits, forget_logits = problem.model(torch.cat([x, forget_x])).split([len(x), len(forget_x)])
        down = F.cross_entropy(logits, y)
        return down - self.alpha * F.cross_entropy(forget_logits, forget_y)
