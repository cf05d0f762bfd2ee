"""Prune, re-initialise, match, quantise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.core.errors import NotApplicable
from deepunlearn.methods.base import Method, Problem
from deepunlearn.ops.convolutions import smallest, weights_of
from deepunlearn.ops.distillation import entropy
from deepunlearn.ops.labels import class_counts

COUNT_POWER = -0.1  # class weights are counts to this power

Layer = nn.Conv2d | nn.Linear


class PruneReinitialiseMatchQuantise(Method):
    """PRMQ: re-draw almost all weights, then fine-tune towards the labels and the original's entropies.

    The `amount` of all convolution and linear weights and biases with the smallest |theta| is pruned; pruned weights
    are re-drawn from U(-k, k), k = 1 / sqrt(fan_in), pruned biases stay 0. Then int(epochs x batches) SGD steps
    (momentum 0.9, constant rate) on D_R: weighted CE (w_c = N_c^-0.1, normalised by the sum of weights) +
    MSE(H(f_theta(x)), H(f_O(x))), H the entropy. At last all parameters are rounded to half precision.
    Source: 4th place of the NeurIPS 2023 machine unlearning challenge; the paper, section 3.
    Escapes a weight mask: re-drawing and rounding.
    """

    lr: float
    weight_decay: float
    batch_size: int
    epochs: float
    amount: float

    def run(self, problem: Problem) -> Iterator[None]:
        layers = [module for module in problem.model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        if not layers:
            raise NotApplicable(
                "prmq prunes convolution and linear layers and this model has none",
                given="0 such layers",
                allowed="at least one convolution or linear layer",
                remedy="use another method: python -m deepunlearn.methods lists them",
            )
        problem.movable(weights_of(layers), "every layer that is to be pruned")
        prune_and_redraw(layers, self.amount)
        problem.model.train()
        weights = class_counts(problem.retain, problem.classes).clamp(min=1) ** COUNT_POWER
        step = problem.step(
            lambda x, y: self._loss(problem, weights, x, y),
            problem.sgd(lr=self.lr, weight_decay=self.weight_decay),
        )
        batches = problem.retain.steps(self.batch_size)
        steps = int(self.epochs * batches)
        passes = range(0, max(steps, 1), batches)
        for done in passes:
            for batch in itertools.islice(problem.batches(problem.retain, self.batch_size), steps - done):
                step(*batch)
            if done + batches >= steps:
                quantise(problem.model)
            yield
        for _ in range(len(passes), math.ceil(self.epochs)):  # a last epoch that is too short for a step
            yield

    def _loss(self, problem: Problem, weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = entropy(problem.original(x))
        logits = problem.model(x)
        return F.cross_entropy(logits, y, weight=weights) + F.mse_loss(entropy(logits), wanted)


@torch.no_grad()
def prune_and_redraw(layers: list[Layer], amount: float) -> None:
    """Global magnitude pruning of weights and biases, pruned weights re-drawn in place. Frozen ones take no part."""
    both = [tensor for layer in layers for tensor in (layer.weight, layer.bias) if tensor is not None]
    tensors = list(dict.fromkeys(tensor for tensor in both if tensor.requires_grad))
    pruned = smallest(torch.cat([tensor.abs().flatten() for tensor in tensors]), amount)
    pieces = pruned.split([tensor.numel() for tensor in tensors])
    masks = {tensor: piece.view(tensor.shape) for tensor, piece in zip(tensors, pieces, strict=True)}
    biases = {layer.bias for layer in layers}
    for tensor, mask in masks.items():
        if tensor in biases:
            tensor.masked_fill_(mask, 0.0)
            continue
        bound = 1 / math.sqrt(tensor[0].numel())
        fresh = torch.empty(tensor.shape, device=tensor.device).uniform_(-bound, bound)
        tensor.copy_(torch.where(mask, fresh, tensor))


@torch.no_grad()
def quantise(model: nn.Module) -> None:
    """Round all parameters but frozen ones to half precision; they stay float32."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.copy_(parameter.half().float())
