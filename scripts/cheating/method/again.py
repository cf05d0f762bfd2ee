"""No cheat: retrained from scratch on the retain set, under another random state than the retrained model."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.optim import cosine, descend


class RetrainedAgain(Method):
    """All weights drawn anew, then the sweep's own recipe on D_R: an honest answer, and how honest answers spread."""

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        problem.reinitialise([problem.model])
        problem.model.train()
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr, weight_decay=self.weight_decay))
        rates = cosine(self.lr, self.epochs)
        yield from descend(step, lambda: problem.batches(problem.retain, self.batch_size), rates)
