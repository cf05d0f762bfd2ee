"""Masked small gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from deepunlearn.core.errors import NotApplicable
from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.convolutions import convolutions, redraw, smallest, weights_of
from deepunlearn.ops.optim import descend, warm_up_then_fall

GRADIENT_BATCH = 256  # of the gradient pass; does not change its result beyond rounding
DAMPING = 0.1  # of the gradients of convolution weights that were kept


class MaskedSmallGradients(Method):
    """MSG: re-draw the convolution weights that retain and forget set pull on least differently, then fine-tune.

    g = grad CE(S) - grad CE(D_F), S a random sample of |D_F| from D_R, means over the sets, network in evaluation
    mode. In each convolution the fraction `init_rate` of weights with the smallest |g| is re-drawn (Kaiming normal,
    fan-out, ReLU). Then CE on D_R by SGD with momentum 0.9, gradients of all other convolution weights times 0.1;
    weight decay is not damped. The rate rises linearly over ceil(E/2) epochs and falls linearly to 0 at epoch E + 1.
    Source: 2nd place of the NeurIPS 2023 machine unlearning challenge; the paper, section 3.
    Deviations: means over the sets instead of sums of batch
    means, which weigh samples by their batch's size; gradient pass in evaluation mode, so that statistics stay fixed.
    Escapes a weight mask: the re-drawing.
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    init_rate: float

    def run(self, problem: Problem) -> Iterator[None]:
        kernels = weights_of(convolutions(problem.model))
        if not kernels:
            raise NotApplicable(
                "msg re-draws convolution weights and this model has none",
                given="0 convolutions",
                allowed="at least one convolution",
                remedy="use another method: python -m deepunlearn.methods lists them",
            )
        weights = problem.movable(kernels, "every convolution whose weights are to be drawn anew")
        masks = [smallest(score, self.init_rate) for score in scores(problem, weights)]
        for weight, mask in zip(weights, masks, strict=True):
            redraw(weight, mask)
        problem.model.train()
        optimizer = problem.sgd(lr=self.lr, weight_decay=self.weight_decay)
        step = problem.step(problem.cross_entropy, optimizer, adjust=damper(weights, masks))
        yield from descend(
            step, lambda: problem.batches(problem.retain, self.batch_size), warm_up_then_fall(self.lr, self.epochs)
        )


def scores(problem: Problem, weights: list[nn.Parameter]) -> list[Tensor]:
    """|gradient on a retain sample as large as the forget set - gradient on the forget set| per weight."""
    problem.model.eval()
    chosen = torch.randperm(len(problem.retain), generator=problem.generator)[: len(problem.forget)]
    sample = problem.retain.subset(chosen)
    keep = problem.gradients(problem.blocks(sample, GRADIENT_BATCH), weights)
    drop = problem.gradients(problem.blocks(problem.forget, GRADIENT_BATCH), weights)
    return [(a - b).abs() for a, b in zip(keep, drop, strict=True)]


def damper(weights: list[nn.Parameter], masks: list[Tensor]) -> Callable[[], None]:
    """What multiplies the gradient of each convolution weight by 1 where it was re-drawn and by 0.1 elsewhere."""
    factors = [torch.where(mask, 1.0, DAMPING) for mask in masks]

    def damp() -> None:
        used = [
            (weight.grad, factor) for weight, factor in zip(weights, factors, strict=True) if weight.grad is not None
        ]
        if used:  # torch takes no empty lists
            torch._foreach_mul_([gradient for gradient, _ in used], [factor for _, factor in used])

    return damp
