"""Sums over samples of powers of each sample's gradient: importance of weights. The network must be in evaluation mode.

Gradients come from one ordinary pass over a batch (`by_layer`). They are formed for a few samples at a time and used up
while they are in the cache. Where a sample's gradient is an outer product d a^T, as in a linear layer on vectors or a
convolution whose output is one pixel, none is formed: the sum of |d a^T|^p over samples is |d|^p times |a|^p, a product
of matrices. Of ResNet18 on images of 32x32 pixels these are three quarters of all weights.

Where a network has parameters that only vmap can do, vmap takes about as long as if it did all. Then only products that
form no gradient are worth their pass, if there are enough. results/bench/importance.md has what is gained.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import repeat
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.ops.by_layer import Factors, Gradients, Own
from deepunlearn.ops.per_sample import Criterion, Params, chunk_size

Batches = Callable[[int], Iterator[tuple[Tensor, Tensor]]]
Power = Literal[1, 2]
CACHE = 8 << 20  # bytes of gradients, or of what they are made of, that are formed at a time
PAYS_FROM = 0.25  # share of all weights of which no gradient is formed, where others need vmap


def mean_over_samples(model: nn.Module, params: Params, batches: Batches, criterion: Criterion, power: Power) -> Params:
    """The mean over samples of |gradient of each sample's loss|^power, for `params`.

    `batches(size)` yields the data in batches of that size; criterion: (logits [1, K], y [1]) -> scalar.
    """
    sums = PowerSums(model, params, criterion, power)
    for x, y in batches(chunk_size(params)):
        sums.add(x, y)
    return sums.mean()


def fisher_diagonal(model: nn.Module, params: Params, batches: Batches, classes: int, sampled: bool) -> Params:
    """E_x E_{c ~ p(c|x)} (d log p_c / d theta)^2: mean over samples of squared per-sample gradients, for `params`.

    The inner expectation is exact (one gradient per class), or with `sampled` over one label drawn from the model's own
    predictive distribution. `batches(size)` yields the data in batches of that size.
    """
    sums = PowerSums(model, params, F.cross_entropy, 2)
    for x, _ in batches(chunk_size(params)):
        with torch.no_grad():
            probabilities = model(x).softmax(1)
        if sampled:
            sums.add(x, torch.multinomial(probabilities, 1)[:, 0])
            continue
        for label in range(classes):
            labels = torch.full((len(x),), label, device=x.device)
            sums.add(x, labels, probabilities[:, label], samples=len(x) if label == 0 else 0)
    return sums.mean()


class PowerSums:
    """Adds up sum_i w_i |g_i|^power over batches, g_i the gradient of sample i's loss by each of `params`."""

    def __init__(self, model: nn.Module, params: Params, criterion: Criterion, power: Power) -> None:
        self.gradients, self.power = Gradients(model, params, criterion), power
        self._by_layer: Collection[str] | None = None  # parameters; chosen with the first sample
        self._sums = {name: torch.zeros_like(value) for name, value in params.items()}
        self._samples = 0

    def add(self, x: Tensor, y: Tensor, weights: Tensor | None = None, samples: int | None = None) -> None:
        """x [B, 3, S, S], y [B], weights [B] (1 by default); samples: how many the mean is to count, B by default."""
        if self._by_layer is None:
            self._by_layer = worth_it(self.gradients.possible(x[:1], y[:1]), self.gradients.params)
        done = self.gradients.by_layer(self._by_layer, x, y) if self._by_layer else {}
        for name, own in done.items():
            self._sums[name] += self._added(own, weights).view_as(self._sums[name])
        if rest := [name for name in self._sums if name not in done]:
            _add_each(self._sums, self.gradients.each(rest, x, y), weights, self.power)
        self._samples += len(x) if samples is None else samples

    def mean(self) -> Params:
        return {name: total / self._samples for name, total in self._sums.items()}

    def _added(self, own: Own, weights: Tensor | None) -> Tensor:
        """The sum over the samples of a batch."""
        if isinstance(own, Tensor):
            return self._weighed(own, weights)
        if own.is_outer:
            left, right = (self._powers(one[..., 0]) for one in (own.slopes, own.seen(slice(None))))
            return (left if weights is None else left * weights[:, None]).T @ right
        step = max(1, CACHE // (own.numbers * own.slopes.element_size()))
        parts = [slice(first, first + step) for first in range(0, len(own.slopes), step)]
        total = torch.zeros_like(own.product(slice(1))[0])
        for part in parts:
            total += self._weighed(own.product(part), None if weights is None else weights[part])
        return total

    def _weighed(self, values: Tensor, weights: Tensor | None) -> Tensor:
        powers = self._powers(values)
        return powers.sum(0) if weights is None else torch.tensordot(weights, powers, 1)

    def _powers(self, values: Tensor) -> Tensor:
        return values.abs() if self.power == 1 else values.square()


def worth_it(possible: dict[str, Own], params: Params) -> Collection[str]:
    """Which parameters are to be done by layer: all if these can be, else outer products if they are enough."""
    if possible.keys() == params.keys():
        return possible.keys()
    outer = [name for name, own in possible.items() if isinstance(own, Factors) and own.is_outer]
    share = sum(params[name].numel() for name in outer) / sum(value.numel() for value in params.values())
    return outer if share >= PAYS_FROM else []


def _add_each(sums: Params, gradients: Params, weights: Tensor | None, power: Power) -> None:
    """sums += sum_i w_i |gradients_i|^power; the gradients may be used up, and may share memory.

    Squares are added sample by sample: memory traffic is what this costs, so none are kept.
    """
    used = [name for name, value in gradients.items() if len(value) == 1 or value.stride(0)]  # else shared zeros
    if power == 1:
        for name in used:
            sizes = gradients[name].abs_()
            sums[name] += sizes.sum(0) if weights is None else torch.tensordot(weights, sizes, 1)
        return
    each = zip(*(gradients[name] for name in used), strict=True)
    for one, weight in zip(each, repeat(1.0) if weights is None else weights.tolist(), strict=False):
        torch._foreach_addcmul_([sums[name] for name in used], one, one, value=weight)
