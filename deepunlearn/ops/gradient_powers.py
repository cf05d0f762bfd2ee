"""Sums over samples of powers of each sample's gradient: importance of weights. The network must be in evaluation mode.

A weight that one sample meets once, as in a linear layer on vectors or a convolution whose output is one pixel, has an
outer product d a^T as that sample's gradient: d the gradient at the layer's output, a its input. So the sum of
|d a^T|^p over samples is a product of two matrices, |d|^p and |a|^p, and no gradient of a single sample is formed. Of
ResNet18 on images of 32x32 pixels these are three quarters of all weights. The rest goes through vmap (`per_sample`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from deepunlearn.kernels.dense import Dense
from deepunlearn.kernels.small_maps import SmallMapConv2d
from deepunlearn.ops.per_sample import Criterion, Params, chunk_size, parameters_of, per_sample

Batches = Callable[[int], Iterator[tuple[Tensor, Tensor]]]
Power = Literal[1, 2]
Factors = tuple[Tensor, Tensor]  # d [B, outputs] and a [B, inputs]
LINEAR = (nn.Linear, Dense)
CONVOLUTIONS = (nn.Conv2d, SmallMapConv2d)
ROUNDING = 1e-3  # of a layer's largest gradient: what an outer product may differ by from the gradient of a sample


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
        self._layers: dict[str, nn.Module] | None = None  # found by the first sample
        self._sums = {name: torch.zeros_like(value) for name, value in params.items()}
        self._samples = 0

    def add(self, x: Tensor, y: Tensor, weights: Tensor | None = None, samples: int | None = None) -> None:
        """x [B, 3, S, S], y [B], weights [B] (1 by default); samples: how many the mean is to count, B by default."""
        if self._layers is None:
            self._layers = self.gradients.outer(x[:1], y[:1])
        if self._layers:
            self._add_outer(self.gradients.factors(self._layers, x, y), weights)
        if rest := [name for name in self._sums if name not in self._layers]:
            _add_each(self._sums, self.gradients.each(rest, x, y), weights, self.power)
        self._samples += len(x) if samples is None else samples

    def mean(self) -> Params:
        return {name: total / self._samples for name, total in self._sums.items()}

    def _add_outer(self, factors: Mapping[str, Factors], weights: Tensor | None) -> None:
        for name, pair in factors.items():
            left, right = (one.abs() if self.power == 1 else one.square() for one in pair)
            weighed = left if weights is None else left * weights[:, None]
            self._sums[name] += (weighed.T @ right).view_as(self._sums[name])


@dataclass(frozen=True)
class Gradients:
    """Of each sample's loss, by `params` of a model."""

    model: nn.Module
    params: Params
    criterion: Criterion

    def each(self, names: Iterable[str], x: Tensor, y: Tensor) -> Params:
        """[B, ...] per parameter."""
        with torch.no_grad():  # of the weights of the model that are not among `names`; what is asked for is computed
            return per_sample(self.model, self.criterion)({name: self.params[name] for name in names}, x, y)

    def outer(self, x: Tensor, y: Tensor) -> dict[str, nn.Module]:
        """Weight -> its layer, of weights whose gradient of one sample is an outer product; x [1, ...], y [1].

        Each is held against the gradient of that sample, so that a weight that is used in other ways too is none.
        """
        layers = {name: layer for name, layer in _candidates(self.model).items() if name in self.params}
        found = self.factors(layers, x, y) if layers else {}
        gradients = self.each(found, x, y) if found else {}
        return {name: layers[name] for name, pair in found.items() if _is_product(gradients[name][0], *pair)}

    def factors(self, layers: Mapping[str, nn.Module], x: Tensor, y: Tensor) -> dict[str, Factors]:
        """Weight -> d and a; without layers that a sample meets at several places, or never."""
        own = {**parameters_of(self.model), **self.params}
        leaves = {name: value.detach().requires_grad_() for name, value in own.items()}
        with _passed(layers) as passed, torch.compiler.set_stance("force_eager"), torch.enable_grad():
            logits = functional_call(self.model, (leaves, dict(self.model.named_buffers())), (x,))
            losses = vmap(lambda outputs, label: self.criterion(outputs[None], label[None]))(logits, y)
            once = {
                name: calls[0] for name, calls in passed.items() if len(calls) == 1 and _one_place(calls[0][1], len(x))
            }
            outputs = [output for _, output in once.values()]
            slopes = torch.autograd.grad(losses.sum(), outputs, allow_unused=True) if outputs else ()
        return {
            name: (slope.flatten(1).to(own[name].dtype), _inputs(layers[name], given).to(own[name].dtype))
            for (name, (given, _)), slope in zip(once.items(), slopes, strict=True)
            if slope is not None
        }


def _candidates(model: nn.Module) -> dict[str, nn.Module]:
    """Weights of linear layers and convolutions that are of no other module."""
    owners = Counter(id(one) for module in model.modules() for one in module._parameters.values())
    return {
        f"{path}.weight".removeprefix("."): module
        for path, module in model.named_modules()
        if (type(module) in LINEAR or _is_plain(module)) and owners[id(module.weight)] == 1
    }


def _is_plain(module: nn.Module) -> bool:
    """A convolution that `_inputs` can take apart."""
    if type(module) not in CONVOLUTIONS:
        return False
    assert isinstance(module, nn.Conv2d)
    return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _is_product(gradient: Tensor, left: Tensor, right: Tensor) -> bool:
    difference = gradient - (left.T @ right).view_as(gradient)
    return bool(difference.abs().max() <= ROUNDING * gradient.abs().max())


@contextmanager
def _passed(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """What goes into each layer and what comes out of it, call by call."""
    passed: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)

    def keeper(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def keep(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
            passed[name].append((given[0].detach(), output))
            return output.clone()  # what follows may write into it

        return keep

    hooks = [layer.register_forward_hook(keeper(name)) for name, layer in layers.items()]
    try:
        yield passed
    finally:
        for hook in hooks:
            hook.remove()


def _one_place(output: Tensor, samples: int) -> bool:
    """Whether it is one vector of each sample."""
    return len(output) == samples and output[0].numel() == output.shape[1] and output.dim() in (2, 4)


def _inputs(layer: nn.Module, given: Tensor) -> Tensor:
    """[B, inputs] in the order of the layer's weight, flattened."""
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        return F.unfold(given, layer.kernel_size, layer.dilation, layer.padding, layer.stride)[..., 0]
    return given


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
