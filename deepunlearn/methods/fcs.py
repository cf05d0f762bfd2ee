"""Forget, contrast, strengthen."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.distillation import contrast, kl_from_uniform
from deepunlearn.ops.optim import set_lr


class ForgetContrastStrengthen(Method):
    """FCS: know nothing about the forget set once, then alternate pushing it away from the retain set with fine-tuning.

    (1) One pass over D_F on KL(uniform || softmax f_theta), rate forget_lr. (2) E rounds of (a) a pass over D_F, every
    batch with one of D_R: mean of -log_softmax(z_f z_r^T / temperature), z_r detached, rate contrast_lr annealed by a
    cosine over all contrast steps to eta_min; (b) an epoch of CE on D_R, rate lr x batch_size / 64. Three SGD
    optimisers with momentum 0.9 on one model.
    Source: 1st place of the NeurIPS 2023 machine unlearning challenge; the paper, section 3.
    """

    forget_lr: float
    forget_weight_decay: float
    contrast_lr: float
    contrast_weight_decay: float
    lr: float
    weight_decay: float
    temperature: float
    eta_min: float
    batch_size: int
    epochs: int

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.train()
        forget = problem.step(
            lambda x, _: kl_from_uniform(problem.model(x)),
            problem.sgd(lr=self.forget_lr, weight_decay=self.forget_weight_decay),
        )
        push = problem.step(
            lambda x, _, retain_x, __: self._contrast(problem, x, retain_x),
            problem.sgd(lr=self.contrast_lr, weight_decay=self.contrast_weight_decay),
        )
        tune_lr = self.lr * self.batch_size / 64
        tune = problem.step(problem.cross_entropy, problem.sgd(lr=tune_lr, weight_decay=self.weight_decay))
        for batch in problem.batches(problem.forget, self.batch_size):
            forget(*batch)
        retain = problem.endless(problem.retain, self.batch_size)
        rates = iter(self._contrast_rates(problem))
        for _ in range(self.epochs):
            for batch in problem.batches(problem.forget, self.batch_size):
                set_lr(push.optimizer, next(rates))
                push(*batch, *next(retain))
            for batch in problem.batches(problem.retain, self.batch_size):
                tune(*batch)
            yield

    def _contrast(self, problem: Problem, forget_x: Tensor, retain_x: Tensor) -> Tensor:
        with torch.no_grad():
            anchors = problem.model(retain_x)
        return contrast(problem.model(forget_x), anchors, self.temperature)

    def _contrast_rates(self, problem: Problem) -> list[float]:
        """The rate of each contrast step: a cosine from contrast_lr to eta_min over all of them."""
        steps = self.epochs * problem.forget.steps(self.batch_size)
        spread = self.contrast_lr - self.eta_min
        return [self.eta_min + spread * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)]
