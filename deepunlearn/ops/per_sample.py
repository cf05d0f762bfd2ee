"""Per-sample gradients through torch.func, in chunks under a memory budget. The network must be in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vjp, vmap

BUDGET = 1 << 30  # bytes of per-sample gradients that are held at a time
MOST_SAMPLES = 256  # of small networks, whose activations take more memory than their gradients; more is not faster

Params = dict[str, Tensor]
Criterion = Callable[[Tensor, Tensor], Tensor]
Fold = Callable[[Params, Params], None]


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


def fisher_diagonal(
    model: nn.Module,
    params: Params,
    batches: Callable[[int], Iterator[tuple[Tensor, Tensor]]],
    classes: int,
    sampled: bool,
) -> Params:
    """E_x E_{c ~ p(c|x)} (d log p_c / d theta)^2: mean over samples of squared per-sample gradients, for `params`.

    The inner expectation is exact (one gradient per class), or with `sampled` over one label drawn from the model's own
    predictive distribution. `batches(size)` yields the data in batches of that size.
    """
    gradients = per_sample(model)
    total = {name: torch.zeros_like(value) for name, value in params.items()}
    samples = 0
    for x, _ in batches(chunk_size(params)):
        with torch.no_grad():
            probabilities = model(x).softmax(1)
        samples += len(x)
        if sampled:
            labels = torch.multinomial(probabilities, 1)[:, 0]
            _add_squares(total, gradients(params, x, labels), torch.ones_like(probabilities[:, 0]))
            continue
        for label in range(classes):
            labels = torch.full((len(x),), label, device=x.device)
            _add_squares(total, gradients(params, x, labels), probabilities[:, label])
    return {name: value / samples for name, value in total.items()}


def mean_over_samples(
    model: nn.Module,
    params: Params,
    batches: Callable[[int], Iterator[tuple[Tensor, Tensor]]],
    criterion: Criterion,
    fold: Fold,
) -> Params:
    """The mean over samples of what `fold` adds up of their gradients, for `params`; `batches` as above."""
    gradients = per_sample(model, criterion)
    total = {name: torch.zeros_like(value) for name, value in params.items()}
    samples = 0
    for x, y in batches(chunk_size(params)):
        fold(total, gradients(params, x, y))
        samples += len(x)
    return {name: value / samples for name, value in total.items()}


def squares(total: Params, gradients: Params) -> None:
    """total += sum_i gradients_i^2."""
    one = next(iter(gradients.values()))
    _add_squares(total, gradients, torch.ones_like(one.flatten(1)[:, 0]))


def absolutes(total: Params, gradients: Params) -> None:
    """total += sum_i |gradients_i|; the gradients are used up."""
    for name in _used(gradients):
        total[name] += gradients[name].abs_().sum(0)


def _used(gradients: Params) -> list[str]:
    """Names of those that are not zeros which share one place in memory."""
    return [name for name, value in gradients.items() if len(value) == 1 or value.stride(0)]


def _add_squares(total: Params, gradients: Params, weights: Tensor) -> None:
    """total += sum_i weights_i gradients_i^2, sample by sample: memory traffic is what this costs, so no squares are
    kept; the gradients are used up."""
    used = _used(gradients)
    values, roots = [gradients[name] for name in used], weights.sqrt()
    for value in values:
        value.mul_(roots.view(-1, *[1] * (value.dim() - 1)))
    for one in zip(*values, strict=True):
        torch._foreach_addcmul_([total[name] for name in used], one, one)


def gradient_products(model: nn.Module, x: Tensor, y: Tensor, direction: Params) -> Params:
    """sum_i g_i (g_i . direction) over the samples of a batch, g_i the gradient of sample i's cross-entropy.

    One Jacobian-vector and one vector-Jacobian product; no per-sample gradient is formed.
    """
    buffers = dict(model.named_buffers())

    def losses(params: Params) -> Tensor:
        return F.cross_entropy(functional_call(model, (params, buffers), (x,)), y, reduction="none")

    params = parameters_of(model, direction)
    along = jvp(losses, (params,), (direction,))[1]
    back = vjp(losses, params)[1]
    result: Params = back(along)[0]
    return result


def dot(one: Params, other: Params) -> Tensor:
    """The inner product over all entries, a scalar tensor."""
    return torch.stack([(one[name] * other[name]).sum() for name in one]).sum()


def add(one: Params, other: Params, factor: Tensor | float = 1.0) -> Params:
    """one + factor * other."""
    return {name: one[name] + factor * other[name] for name in one}
