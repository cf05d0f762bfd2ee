"""Confuse, fine-tune, weaken."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.core.errors import NotApplicable
from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.convolutions import convolutions, weights_of
from deepunlearn.ops.labels import class_counts
from deepunlearn.ops.optim import cosine, descend


class ConfuseFinetuneWeaken(Method):
    """CFW: add noise to the first convolutions, fine-tune with balanced classes, add a little noise before the end.

    W <- W + n, n ~ N(0, sigma_start^2), for the stem's convolutions; then SGD with momentum 0.9 and cosine to 0 on
    (1 / B) sum_i w_{y_i} CE(f_theta(x_i), y_i) over D_R with w_c = N / (K N_c); before the last epoch W <- W + n,
    n ~ N(0, sigma_end^2) (E = 1: both before it). `scope=all` noises every convolution.
    Source: 3rd place of the NeurIPS 2023 machine unlearning challenge; the paper, section 3.
    Deviation: weights apply per sample; after
    the mean, as published, they would multiply a scalar. Escapes a weight mask: the noise.
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    sigma_start: float
    sigma_end: float
    scope: str

    def run(self, problem: Problem) -> Iterator[None]:
        noisy = self._noisy(problem)
        add_noise(noisy, self.sigma_start)
        problem.model.train()
        weights = balanced_weights(class_counts(problem.retain, problem.classes))
        step = problem.step(
            lambda x, y: (weights[y] * F.cross_entropy(problem.model(x), y, reduction="none")).mean(),
            problem.sgd(lr=self.lr, weight_decay=self.weight_decay),
        )
        epochs = 0

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            nonlocal epochs
            epochs += 1
            if epochs == self.epochs:
                add_noise(noisy, self.sigma_end)
            return problem.batches(problem.retain, self.batch_size)

        yield from descend(step, batches, cosine(self.lr, self.epochs))

    def _noisy(self, problem: Problem) -> list[nn.Parameter]:
        layers = convolutions(problem.model) if self.scope == "all" else problem.stem_convolutions()
        if not layers:
            raise NotApplicable(
                "cfw adds noise to convolutions and this model has none",
                given="0 convolutions",
                allowed="at least one convolution",
                remedy="use another method: python -m deepunlearn.methods lists them",
            )
        return problem.movable(weights_of(layers), "every convolution that is to get noise")


def balanced_weights(counts: Tensor) -> Tensor:
    """N / (K N_c) per class, so that the mean over all samples is 1; 0 for a class without samples."""
    present = counts > 0
    return torch.where(present, counts.sum() / (present.sum() * counts.clamp(min=1)), 0.0)


@torch.no_grad()
def add_noise(weights: list[nn.Parameter], sigma: float) -> None:
    """Add N(0, sigma^2) to each weight in place."""
    for weight in weights:
        weight.add_(torch.randn_like(weight), alpha=sigma)
