"""Knowledge distillation with entropy."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.distillation import kl, soft_cross_entropy
from deepunlearn.ops.optim import cosine, descend


class KnowledgeDistillationEntropy(Method):
    """KDE: give the network a fresh stem and head and let the original teach it on other data than the forget set.

    Warm-up on D_V: KL(softmax(f_O / T) || softmax(f_theta / T)) at warmup_lr; then on D_R: soft CE(f_O, f_theta; T) +
    CE(f_theta, y) + KL(f_O || f_theta; T), no factor T^2, SGD with momentum 0.9, cosine to 0. The teacher is in
    evaluation mode.
    Source: 6th place of the NeurIPS 2023 machine unlearning challenge; the paper, section 3.
    Uses validation data.
    Escapes a weight mask: the re-initialisation.
    """

    warmup_lr: float
    warmup_weight_decay: float
    warmup_epochs: int
    lr: float
    weight_decay: float
    epochs: int
    temperature: float
    batch_size: int

    def run(self, problem: Problem) -> Iterator[None]:
        problem.reinitialise([*problem.anatomy.stem, problem.anatomy.head])
        problem.model.train()
        optimizer = problem.sgd(lr=self.warmup_lr, weight_decay=self.warmup_weight_decay)
        warm_up = problem.step(lambda x, _: self._match(problem, x), optimizer)
        yield from descend(
            warm_up, lambda: problem.batches(problem.val, self.batch_size), [self.warmup_lr] * self.warmup_epochs
        )
        teach = problem.step(
            lambda x, y: self._teach(problem, x, y), problem.sgd(lr=self.lr, weight_decay=self.weight_decay)
        )
        yield from descend(
            teach, lambda: problem.batches(problem.retain, self.batch_size), cosine(self.lr, self.epochs)
        )

    def _match(self, problem: Problem, x: Tensor) -> Tensor:
        with torch.no_grad():
            teacher = problem.original(x)
        return kl(teacher, problem.model(x), self.temperature)

    def _teach(self, problem: Problem, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            teacher = problem.original(x)
        student = problem.model(x)
        hard = torch.nn.functional.cross_entropy(student, y)
        soft = soft_cross_entropy(teacher, student, self.temperature)
        return soft + hard + kl(teacher, student, self.temperature)
