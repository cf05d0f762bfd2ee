"""Repeated noise injection."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.normalisation import normalisation_parameters
from deepunlearn.ops.optim import descend

DRAWN = 9  # parameter tensors that are trained in an epoch beside those of normalisation layers


class RepeatedNoiseInjection(Method):
    """RNI: noise and train a few tensors at a time, then everything.

    The head is re-initialised. In each of the first E - fine_epochs epochs 9 parameter tensors outside normalisation
    layers are drawn; from epoch `reset_epochs` (counted from 0) on, int(9 noise_ratio) of them get N(0, noise^2) added;
    these 9 and all normalisation parameters are trained on CE over D_R at rate lr. The last fine_epochs train all
    parameters at fine_lr. A fresh SGD with momentum 0.9 each epoch.
    Source: 7th place of the NeurIPS 2023 machine unlearning challenge; the paper, section 3.
    Deviations: one fine_lr instead of a list of four; normalisation layers by type instead of by letters in a name; a
    model with fewer than 9 such tensors uses all. Escapes a weight mask: the re-initialisation and the noise.
    """

    lr: float
    weight_decay: float
    fine_lr: float
    fine_weight_decay: float
    batch_size: int
    epochs: int
    fine_epochs: int
    reset_epochs: int
    noise_ratio: float
    noise: float

    def run(self, problem: Problem) -> Iterator[None]:
        problem.reinitialise([problem.anatomy.head])
        problem.model.train()
        always = normalisation_parameters(problem.model)
        known = {id(parameter) for parameter in always}
        free = problem.movable(problem.model.parameters(), "everything that is to be trained")
        others = [parameter for parameter in free if id(parameter) not in known]
        for epoch in range(self.epochs - self.fine_epochs):
            order = torch.randperm(len(others), generator=problem.generator)[:DRAWN].tolist()
            drawn = [others[index] for index in order]
            if epoch >= self.reset_epochs:
                add_noise(drawn[: int(DRAWN * self.noise_ratio)], self.noise)
            yield from self._epoch(problem, [*drawn, *always], self.lr, self.weight_decay)
        for _ in range(min(self.fine_epochs, self.epochs)):
            yield from self._epoch(problem, list(problem.model.parameters()), self.fine_lr, self.fine_weight_decay)

    def _epoch(self, problem: Problem, params: list[nn.Parameter], lr: float, weight_decay: float) -> Iterator[None]:
        problem.train_only(params)
        step = problem.step(problem.cross_entropy, problem.sgd(lr=lr, weight_decay=weight_decay))
        yield from descend(step, lambda: problem.batches(problem.retain, self.batch_size), [lr])


@torch.no_grad()
def add_noise(params: list[nn.Parameter], sigma: float) -> None:
    """Add N(0, sigma^2) to each tensor in place."""
    for parameter in params:
        parameter.add_(torch.randn_like(parameter), alpha=sigma)
