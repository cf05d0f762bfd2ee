"""Saliency forgetting in the remain-preserving manifold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.core.method_config import TENTHS
from deepunlearn.core.params import Value
from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.gradient_powers import mean_over_samples
from deepunlearn.ops.optim import set_lr
from deepunlearn.ops.per_sample import parameters_of

Masks = dict[nn.Parameter, Tensor]


class SaliencyForgetting(Method):
    """SFRon: fine-tuning on the retain set, with an ascent on the forget set before every few of its steps.

    Retain steps t = 0 .. steps - 1: theta <- theta - lr_t grad CE(f_theta; D_R). Before each t that `every` divides:
    ascent on alpha_t sum_i w_i CE_i over a batch of D_F, w_i = CE_i^-power / sum_j CE_j^-power held fixed, its gradient
    0 where I_F / I_R < threshold and its norm at most max_norm. lr_t and alpha_t fall by a cosine to 0; one SGD with
    momentum 0.9 takes both. I_X: mean over the samples of X of the squared gradient of CE at theta_O. Slow weights:
    after the retain steps that follow an ascent, theta <- (1 - beta) theta_before + beta theta; beta 1 is without.
    Source: Huang et al. 2024 (arXiv 2409.19732), algorithm 1 and equation 11.
    Deviations: I by single samples (the published code squares means of batches); the code averages after each step,
    which its beta of 1 switches off. Notes `salient`, the share of weights that an ascent may move. A run yields ten
    times, after each tenth of its steps.
    """

    lr: float
    weight_decay: float
    batch_size: int
    steps: int
    every: int
    alpha: float
    power: float
    threshold: float
    max_norm: float
    beta: float

    def run(self, problem: Problem) -> Iterator[None]:
        masks = self._salient(problem)
        problem.model.train()
        optimizer = problem.sgd(lr=self.lr, weight_decay=self.weight_decay)
        ascend = problem.step(partial(self._ascent, problem), optimizer, lambda: self._limit(masks))
        repair = problem.step(problem.cross_entropy, optimizer)
        forget, retain = (problem.endless(part, self.batch_size) for part in (problem.forget, problem.retain))
        slow, done = copied(masks), 0
        for tenth in range(1, TENTHS + 1):
            for step in range(done, self.steps * tenth // TENTHS):
                fall = (1 + math.cos(math.pi * step / self.steps)) / 2
                set_lr(optimizer, self.lr * fall)
                if step % self.every == 0:
                    x, y = next(forget)
                    ascend(x, y, torch.tensor(self.alpha * fall, device=x.device))
                repair(*next(retain))
                if self.beta < 1 and (step + 1) % self.every == 0:
                    slow = self._slowed(slow)
                done = step + 1
            yield

    def _ascent(self, problem: Problem, x: Tensor, y: Tensor, alpha: Tensor) -> Tensor:
        return -alpha * weighed(F.cross_entropy(problem.model(x), y, reduction="none"), self.power)

    def _limit(self, masks: Masks) -> None:
        """The gradient of the ascent within its mask, its norm bounded."""
        for weight, mask in masks.items():
            if weight.grad is not None:
                weight.grad.mul_(mask)
        nn.utils.clip_grad_norm_(masks, self.max_norm)

    @torch.no_grad()
    def _slowed(self, slow: dict[nn.Parameter, Tensor]) -> dict[nn.Parameter, Tensor]:
        """Puts the average of `slow` and the weights into the weights; returns it."""
        for weight, before in slow.items():
            weight.copy_((1 - self.beta) * before + self.beta * weight)
        return copied(slow)

    def _salient(self, problem: Problem) -> Masks:
        """Where each weight that may move matters at least `threshold` times as much to D_F as to D_R."""
        movable = problem.movable(problem.model.parameters(), "everything that an ascent moves")
        chosen = {id(weight) for weight in movable}
        named = {name: one for name, one in problem.model.named_parameters() if id(one) in chosen}
        weights = parameters_of(problem.original, named)
        forget, retain = (
            mean_over_samples(problem.original, weights, partial(problem.blocks, part), F.cross_entropy, 2)
            for part in (problem.forget, problem.retain)
        )
        masks = {one: forget[name] >= self.threshold * retain[name] for name, one in named.items()}
        share: Value = sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
        problem.notes["salient"] = share
        return masks


def weighed(losses: Tensor, power: float) -> Tensor:
    """sum_i w_i losses_i with w_i = losses_i^-power over their sum, w fixed: the smaller a loss, the more it counts."""
    with torch.no_grad():
        weights = losses.clamp(min=torch.finfo(losses.dtype).tiny) ** -power
        weights /= weights.sum()
    return (weights * losses).sum()


def copied(weights: Masks) -> dict[nn.Parameter, Tensor]:
    """The values of these parameters now."""
    return {weight: weight.detach().clone() for weight in weights}
