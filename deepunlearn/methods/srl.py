"""Successive random labels."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.labels import random_labels, relabelled
from deepunlearn.ops.optim import cosine, descend


class SuccessiveRandomLabels(Method):
    """SRL: train on retain and forget set together, the latter with random labels that are drawn anew each epoch.

    theta <- theta - lr_e * grad CE(f_theta; D_R and (x, u_e(x)) for x in D_F), u_e uniform over classes; SGD with
    momentum 0.9, cosine to 0. Source: the paper's classical baseline; Graves et al. 2021 (amnesiac unlearning).
    `exclude_true_label` draws wrong labels only.
    Deviations: the schedule acts (the published code builds one and never steps it); a smaller default lr than 0.1.
    """

    together = True

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    exclude_true_label: bool

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.train()
        step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr, weight_decay=self.weight_decay))

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            labels = random_labels(
                problem.forget.labels, problem.classes, problem.generator, wrong=self.exclude_true_label
            )
            return problem.batches(relabelled(problem.retain, problem.forget, labels), self.batch_size)

        yield from descend(step, batches, cosine(self.lr, self.epochs))
