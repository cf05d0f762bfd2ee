"""Per-sample gradients through torch.func, in chunks under a memory budget. The network must be in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

BUDGET = 1 << 30  # bytes of per-sample gradients that are held at a time
MOST_SAMPLES = 256  # of small networks, whose activations take more memory than their gradients; more is not faster

Params = dict[str, Tensor]
Criterion = Callable[[Tensor, Tensor], Tensor]


def parameters_of(model: nn.Module, names: Iterable[str] | None = None) -> Params:
    """The parameters `names`, or all, by name, detached from their graph."""
    wanted = dict(model.named_parameters())
    return {name: wanted[name].detach() for name in (wanted if names is None else names)}


def chunk_size(params: Params, budget: int = BUDGET) -> int:
    """Samples whose gradients fit into `budget` bytes, at least one, at most MOST_SAMPLES."""
    fitting = budget // sum(value.numel() * value.element_size() for value in params.values())
    return max(1, min(MOST_SAMPLES, fitting))


def per_sample(model: nn.Module, criterion: Criterion = F.cross_entropy) -> Callable[[Params, Tensor, Tensor], Params]:
    """f(params, x [B, 3, S, S], y [B]) -> the gradient of each sample's loss, [B, ...] per parameter.

    criterion: (logits [1, K], y [1]) -> scalar.
    Zero, one value in memory for all, for a parameter that the output does not depend on.
    """
    buffers = dict(model.named_buffers())

    def loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
        return criterion(functional_call(model, (params, buffers), (x[None],)), y[None])

    return vmap(grad(loss), in_dims=(None, 0, 0))


def gradient_products(model: nn.Module, x: Tensor, y: Tensor, direction: Params) -> Params:
    """sum_i g_i (g_i . direction) over the samples of a batch, g_i the gradient of sample i's cross-entropy.

    One Jacobian-vector and one vector-Jacobian product; no per-sample gradient is formed.
    """
    losses = _losses(model, x, y)
    back = vjp(losses, parameters_of(model, direction))[1]
    result: Params = back(slopes(model, x, y, direction))[0]
    return result


def slopes(model: nn.Module, x: Tensor, y: Tensor, direction: Params) -> Tensor:
    """g_i . direction of each sample of a batch, [B]; g_i as in `gradient_products`, and not formed either."""
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no forward derivative
        along: Tensor = jvp(_losses(model, x, y), (parameters_of(model, direction),), (direction,))[1]
    return along


def _losses(model: nn.Module, x: Tensor, y: Tensor) -> Callable[[Params], Tensor]:
    buffers = dict(model.named_buffers())
    return lambda params: F.cross_entropy(functional_call(model, (params, buffers), (x,)), y, reduction="none")


def dot(one: Params, other: Params) -> Tensor:
    """The inner product over all entries, a scalar tensor."""
    return torch.stack([(one[name] * other[name]).sum() for name in one]).sum()


def add(one: Params, other: Params, factor: Tensor | float = 1.0) -> Params:
    """one + factor * other."""
    return {name: one[name] + factor * other[name] for name in one}
