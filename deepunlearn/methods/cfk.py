"""Catastrophic forgetting of the last k blocks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.last_blocks import last_blocks, parameters_of, train_only
from deepunlearn.ops.optim import descend, steps_down, thirds


class CatastrophicForgettingK(Method):
    """CF-k: fine-tune the last k blocks and what lies behind them, leave the rest as it is.

    L = CE(f_theta; D_R) + (weight_decay / 2) ||theta - theta_O||^2 over the unfrozen parameters, SGD with momentum 0.9;
    the rate is multiplied by `decay` once the epoch (from 0) exceeds each of int(.5E), int(.8E), int(.9E).
    Source: Goel et al. 2022 (arXiv 2201.06640), section 4.
    Deviations: momentum 0.9 (published code: none); unfrozen blocks in training mode (all in evaluation mode).
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    decay: float
    k: int

    def run(self, problem: Problem) -> Iterator[None]:
        modules = last_blocks(problem.anatomy, self.k)
        what = f"everything in the last {self.k} blocks and the head"
        params = problem.movable(parameters_of(modules), what)
        train_only(problem.model, modules)
        problem.train_only(params)
        start = [parameter.detach().clone() for parameter in params]

        def loss(x: Tensor, y: Tensor) -> Tensor:
            pull = sum(((a - b).square().sum() for a, b in zip(params, start, strict=True)), torch.zeros(()))
            return problem.cross_entropy(x, y) + self.weight_decay / 2 * pull

        rates = steps_down(self.lr, self.epochs, self.decay, thirds(self.epochs))
        step = problem.step(loss, problem.sgd(lr=self.lr))
        yield from descend(step, lambda: problem.batches(problem.retain, self.batch_size), rates)
