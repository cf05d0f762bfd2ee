"""Fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.optim import cosine, descend


class FineTuning(Method):
    """FT: go on training f_O on the retain set and let it forget the rest.

    theta <- theta - lr_e * grad CE(f_theta; D_R), SGD with momentum 0.9, lr_e annealed by a cosine to 0.
    Source: the paper's classical baseline (section 3).
    Deviation: a smaller default lr than 0.1.
    """

    together = True

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.train()
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr, weight_decay=self.weight_decay))
        yield from descend(step, lambda: problem.batches(problem.retain, self.batch_size), cosine(self.lr, self.epochs))
