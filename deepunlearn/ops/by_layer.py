"""Gradients of single samples from one ordinary pass over a batch, by the layers that allow it, in evaluation mode.

The gradient of sample i by the weights of a linear layer or a convolution is D_i P_i^T: D_i [outputs, places] the
gradient at the layer's output, P_i [inputs, places] what it sees there. Normalisation has sums over places. Whatever
else has parameters is left to vmap (`per_sample`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from deepunlearn.kernels.dense import Dense
from deepunlearn.kernels.small_maps import SmallMapConv2d
from deepunlearn.ops.per_sample import Criterion, Params, parameters_of, per_sample

LINEAR = (nn.Linear, Dense)
CONVOLUTIONS = (nn.Conv2d, SmallMapConv2d)
NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
ROUNDING = 1e-3  # of a parameter's largest gradient: what ours may differ by from that of vmap


@dataclass(frozen=True)
class Factors:
    """D and P of a weight; slopes: D [B, outputs, places].

    P takes many times the memory of what it is made of, so it is made of a few samples at a time: see: [n, ...] at the
    layer's input -> P [n, inputs, places].
    """

    slopes: Tensor
    given: Tensor
    see: Callable[[Tensor], Tensor]
    inputs: int

    @property
    def is_outer(self) -> bool:
        """Whether each sample's gradient is an outer product."""
        return self.slopes.shape[2] == 1

    @property
    def numbers(self) -> int:
        """The most that are formed of one sample: its gradient, or its P."""
        _, outputs, places = self.slopes.shape
        return self.inputs * max(outputs, places)

    def seen(self, samples: slice) -> Tensor:
        """[samples, inputs, places]: their P."""
        return self.see(self.given[samples])

    def product(self, samples: slice) -> Tensor:
        """[samples, outputs, inputs]: their gradients."""
        return self.slopes[samples] @ self.seen(samples).transpose(1, 2)


Own = Factors | Tensor  # of a parameter: of a weight its factors, else the gradients [B, ...]


@dataclass(frozen=True)
class Gradients:
    """Of each sample's loss, by `params` of a model."""

    model: nn.Module
    params: Params
    criterion: Criterion

    def each(self, names: Iterable[str], x: Tensor, y: Tensor) -> Params:
        """[B, ...] per parameter, by vmap."""
        with torch.no_grad():  # of the weights of the model that are not among `names`; what is asked for is computed
            return per_sample(self.model, self.criterion)({name: self.params[name] for name in names}, x, y)

    def possible(self, x: Tensor, y: Tensor) -> dict[str, Own]:
        """What `by_layer` can do, of a sample x [1, ...], y [1].

        Each is held against vmap's, so that a parameter that is used in other ways too is none of them.
        """
        found = self.by_layer(self.params, x, y)
        wanted = self.each(found, x, y) if found else {}
        return {name: own for name, own in found.items() if _agree(wanted[name][0], own)}

    def by_layer(self, names: Collection[str], x: Tensor, y: Tensor) -> dict[str, Own]:
        """Of parameters among `names` whose layer each sample passes once, and which is of a kind that is known."""
        layers = {path: layer for path, layer in self._layers.items() if any(_of(path, one) for one in names)}
        found: dict[str, Own] = {}
        for path, (given, slope) in self._passes(layers, x, y).items():
            for name, own in gradients(layers[path], given, slope).items():
                found[f"{path}.{name}".removeprefix(".")] = own
        return {name: own for name, own in found.items() if name in names}

    @cached_property
    def _layers(self) -> dict[str, nn.Module]:
        """Those of a known kind whose parameters are of no other module."""
        owners = Counter(id(one) for module in self.model.modules() for one in module._parameters.values())
        return {
            path: layer
            for path, layer in self.model.named_modules()
            if is_known(layer) and all(owners[id(one)] == 1 for one in layer.parameters())
        }

    def _passes(self, layers: Mapping[str, nn.Module], x: Tensor, y: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Layer -> what goes in and the gradient at what comes out, both [B, ...]; of those that are passed once."""
        own = {**parameters_of(self.model), **self.params}
        leaves = {name: value.detach().requires_grad_() for name, value in own.items()}
        with _passed(layers) as passed, torch.compiler.set_stance("force_eager"), torch.enable_grad():
            logits = functional_call(self.model, (leaves, dict(self.model.named_buffers())), (x,))
            losses = vmap(lambda outputs, label: self.criterion(outputs[None], label[None]))(logits, y)
            if not losses.requires_grad:
                return {}
            once = {path: calls[0] for path, calls in passed.items() if len(calls) == 1 and calls[0][1].requires_grad}
            outputs = [output for _, output in once.values()]
            slopes = torch.autograd.grad(losses.sum(), outputs, allow_unused=True) if outputs else ()
        return {
            path: (given.to(logits.dtype), slope.to(logits.dtype))
            for (path, (given, _)), slope in zip(once.items(), slopes, strict=True)
            if slope is not None and len(slope) == len(given) == len(x)
        }


def _of(path: str, name: str) -> bool:
    """Whether the parameter `name` is one of the layer at `path`."""
    return name.rpartition(".")[0] == path


def _agree(wanted: Tensor, own: Own) -> bool:
    found = own.product(slice(1)) if isinstance(own, Factors) else own
    return bool((wanted - found.view_as(wanted)).abs().max() <= ROUNDING * wanted.abs().max())


@contextmanager
def _passed(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """What goes into each layer and what comes out of it, call by call."""
    passed: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)

    def keeper(path: str) -> Callable[[nn.Module, tuple[Tensor, ...], Mapping[str, Tensor], Tensor], Tensor]:
        def keep(_: nn.Module, given: tuple[Tensor, ...], named: Mapping[str, Tensor], output: Tensor) -> Tensor:
            (x,) = [*given, *named.values()]
            passed[path].append((x.detach(), output))
            return output.clone()  # what follows may write into it

        return keep

    hooks = [layer.register_forward_hook(keeper(path), with_kwargs=True) for path, layer in layers.items()]
    try:
        yield passed
    finally:
        for hook in hooks:
            hook.remove()


# ---------------------------------------------------------------------------------------------------- kinds of layers


def is_known(layer: nn.Module) -> bool:
    """Whether `gradients` is right of it. Subclasses may do something else."""
    if type(layer) in CONVOLUTIONS:
        assert isinstance(layer, nn.Conv2d)
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if isinstance(layer, nn.BatchNorm2d) and (layer.training or layer.running_mean is None):
        return False
    return type(layer) in (*LINEAR, *NORMS)


def gradients(layer: nn.Module, given: Tensor, slope: Tensor) -> dict[str, Own]:
    """By the name of a parameter of `layer`; given, slope: [B, ...] at its input and at its output."""
    found: dict[str, Own]
    if isinstance(layer, nn.Linear):
        slopes = _vectors(slope)
        found = {"weight": Factors(slopes, given, _vectors, layer.in_features), "bias": slopes.sum(2)}
    elif isinstance(layer, nn.Conv2d):
        slopes = slope.flatten(2)
        found = {"weight": Factors(slopes, given, partial(_windows, layer), layer.weight[0].numel()),
                 "bias": slopes.sum(2)}  # fmt: skip
    else:
        scaled = slope * _standardised(layer, given)
        places = _places(layer, slope)
        found = (
            {"weight": scaled.sum(places), "bias": slope.sum(places)} if places else {"weight": scaled, "bias": slope}
        )
    return {name: found[name] for name, _ in layer.named_parameters()}


def _vectors(values: Tensor) -> Tensor:
    """[B, ..., n] as [B, n, places]."""
    return values.reshape(len(values), -1, values.shape[-1]).transpose(1, 2)


def _windows(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, inputs, places] in the order of the layer's weight."""
    assert not isinstance(layer.padding, str)
    return F.unfold(maps, layer.kernel_size, layer.dilation, layer.padding, layer.stride)


def _standardised(layer: nn.Module, given: Tensor) -> Tensor:
    """The input of a normalisation as its weight finds it."""
    if isinstance(layer, nn.BatchNorm2d):
        return F.batch_norm(given, layer.running_mean, layer.running_var, eps=layer.eps)
    if isinstance(layer, nn.GroupNorm):
        return F.group_norm(given, layer.num_groups, eps=layer.eps)
    assert isinstance(layer, nn.LayerNorm)
    return F.layer_norm(given, layer.normalized_shape, eps=layer.eps)


def _places(layer: nn.Module, slope: Tensor) -> list[int]:
    """The dimensions that a parameter of a normalisation is shared over."""
    if isinstance(layer, nn.LayerNorm):
        return list(range(1, slope.dim() - len(layer.normalized_shape)))
    return list(range(2, slope.dim()))
