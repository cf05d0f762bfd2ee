"""Negative gradient plus."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.optim import constant, descend


class NegativeGradientPlus(Method):
    """NG+: descend on the retain set and ascend on the forget set in one step.

    theta <- theta - lr * grad [alpha CE(f_theta; batch of D_R) - (1 - alpha) CE(f_theta; batch of D_F)], D_F cycled, E
    epochs over D_R, SGD with momentum 0.9, constant rate, statistics of normalisation layers fixed.
    Source: Kurmanji et al. 2023 (arXiv 2302.09880), equation of the NegGrad+ baseline.
    The default rate is ours: with 0.01, and with 0.001, a forgotten class of 4,000 samples takes the rest with it.
    """

    together = True

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    alpha: float

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.eval()
        step = problem.step(
            lambda x, y, forget_x, forget_y: (
                self.alpha * problem.cross_entropy(x, y) - (1 - self.alpha) * problem.cross_entropy(forget_x, forget_y)
            ),
            problem.sgd(lr=self.lr, weight_decay=self.weight_decay),
        )
        forget = problem.endless(problem.forget, self.batch_size)

        def batches() -> Iterator[tuple[Tensor, ...]]:
            for batch in problem.batches(problem.retain, self.batch_size):
                yield *batch, *next(forget)

        yield from descend(step, batches, constant(self.lr, self.epochs))
