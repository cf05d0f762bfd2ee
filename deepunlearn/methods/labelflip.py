"""Label flipping."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.labels import random_labels, relabelled
from deepunlearn.ops.optim import cosine, descend


class LabelFlipping(Method):
    """LF: train on retain and forget set together, the latter with wrong labels that are drawn once.

    As SRL, but u(x) is drawn once, uniformly over the classes other than the true one. Source: Graves et al. 2021, in
    the variant with fixed wrong labels.
    """

    together = True

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.train()
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr, weight_decay=self.weight_decay))
        labels = random_labels(problem.forget.labels, problem.classes, problem.generator, wrong=True)
        together = relabelled(problem.retain, problem.forget, labels)
        yield from descend(step, lambda: problem.batches(together, self.batch_size), cosine(self.lr, self.epochs))
