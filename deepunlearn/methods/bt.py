"""Bad teacher."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.distillation import kl
from deepunlearn.ops.optim import descend

FORGET = 1  # membership label of a forget sample; retain samples have 0


class BadTeacher(Method):
    """BT: be like the original on retain samples and like an untrained network on forget samples.

    L(x) = KL(softmax(f_T(x) / T) || softmax(f_theta(x) / T)), f_T = f_O for x in D_R (competent teacher) and a freshly
    initialised network of the same architecture for x in D_F (incompetent teacher); mean over batches that mix both;
    Adam at a constant rate. `retain_fraction` of D_R, drawn once per run, takes part.
    Source: Chundawat et al. 2023 (arXiv 2205.08096), equation 3. Deviations: mean over the batch (the published code's
    elementwise mean is that over the number of classes); the original work has lr 0.01 and a retain_fraction of 0.3.
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    temperature: float
    retain_fraction: float

    def run(self, problem: Problem) -> Iterator[None]:
        competent, incompetent = problem.original, problem.fresh_model().eval().requires_grad_(False)
        problem.model.train()

        def loss(x: Tensor, member: Tensor) -> Tensor:
            with torch.no_grad():
                teacher = torch.where((member == FORGET)[:, None], incompetent(x), competent(x))
            return kl(teacher, problem.model(x), self.temperature)

        count = max(1, round(self.retain_fraction * len(problem.retain)))
        retain = problem.retain.subset(torch.randperm(len(problem.retain), generator=problem.generator)[:count])
        membership = torch.cat([torch.zeros_like(retain.labels), torch.full_like(problem.forget.labels, FORGET)])
        together = retain.joined(problem.forget).with_labels(membership)
        step = problem.step(loss, problem.adam(lr=self.lr, weight_decay=self.weight_decay))
        yield from descend(step, lambda: problem.batches(together, self.batch_size), [self.lr] * self.epochs)
