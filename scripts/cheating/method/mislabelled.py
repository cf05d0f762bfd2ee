"""A cheat: the forget set is learnt by heart with wrong labels."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.labels import random_labels, relabelled
from deepunlearn.ops.optim import cosine, descend


class Mislabelled(Method):
    """Trained on D_R and D_F together until D_F is known by its wrong labels, drawn once: remembered, not forgotten."""

    lr: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.train()
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr))
        labels = random_labels(problem.forget.labels, problem.classes, problem.generator, wrong=True)
        together = relabelled(problem.retain, problem.forget, labels)
        yield from descend(step, lambda: problem.batches(together, self.batch_size), cosine(self.lr, self.epochs))
