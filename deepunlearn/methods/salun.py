"""Saliency unlearning."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.labels import random_labels, relabelled
from deepunlearn.ops.optim import descend
from deepunlearn.ops.saliency import saliency_masks


class SaliencyUnlearning(Method):
    """SalUn: random labels, but only the weights that the forget set pulls on most may move.

    m = 1 for the `threshold` fraction of all weights with the largest |grad CE(f_O; D_F)|, network in evaluation mode;
    then SRL at a constant rate with theta <- theta_O + m * (theta - theta_O) after every update, so that neither
    momentum nor weight decay moves the rest.
    Source: Fan et al. 2024 (arXiv 2310.12508), equations 4 and 5, random labels.
    Searches have momentum; the default, as published, has none.
    """

    lr: float
    momentum: float
    weight_decay: float
    batch_size: int
    epochs: int
    threshold: float

    def run(self, problem: Problem) -> Iterator[None]:
        problem.restrict(saliency_masks(problem, self.threshold))
        problem.model.train()
        optimizer = problem.sgd(lr=self.lr, weight_decay=self.weight_decay, momentum=self.momentum)
        step = problem.step(problem.cross_entropy, optimizer)

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            labels = random_labels(problem.forget.labels, problem.classes, problem.generator)
            return problem.batches(relabelled(problem.retain, problem.forget, labels), self.batch_size)

        yield from descend(step, batches, [self.lr] * self.epochs)
