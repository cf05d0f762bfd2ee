"""Gradient ascent."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.optim import constant, descend


class GradientAscent(Method):
    """GA: raise the loss on the forget set and look at nothing else.

    theta <- theta + lr * grad CE(f_theta; D_F), by SGD with momentum 0.9 on -CE at a constant rate.
    Source: the paper's classical baseline; Golatkar et al. 2020, Thudi et al. 2022. It has no term that keeps the
    retain accuracy, so it collapses sooner or later by its nature;
    the default rate is ours, at which a tenth of 4,000 samples leaves a network of use (docs/methods.md).
    """

    together = True

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.train()
        optimizer = problem.sgd(lr=self.lr, weight_decay=self.weight_decay)
        step = problem.step(lambda x, y: -problem.cross_entropy(x, y), optimizer)
        rates = constant(self.lr, self.epochs)
        yield from descend(step, lambda: problem.batches(problem.forget, self.batch_size), rates)
