"""Networks of one architecture side by side: weights stacked, each batch passed through all of them at once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap


class Stacked(nn.Module):
    """`count` copies of `original` as one module: every parameter and buffer is [K, ...], K the copies.

    Outputs are [n, B, C], n = `active`: only the first so many are passed through, and only their running statistics
    move. Copies do not see each other, so that what is not finite in one stays there. A network that draws random
    numbers while it is passed through, or that asks tensors for their values, cannot be stacked (`why_apart`).
    """

    def __init__(self, original: nn.Module, count: int) -> None:
        super().__init__()
        self.count = self.active = count
        self.network = copy.deepcopy(original)
        known: dict[int, nn.Parameter] = {}  # a shared weight is stacked once
        for module in self.network.modules():
            for name, weight in module.named_parameters(recurse=False, remove_duplicate=False):
                stacked = known.setdefault(id(weight), nn.Parameter(_copies(weight, count)))
                module.register_parameter(name, stacked)
                known[id(stacked)] = stacked
            for name, value in list(module.named_buffers(recurse=False)):
                setattr(module, name, _copies(value, count))

    def forward(self, x: Tensor) -> Tensor:
        named = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        active = {name: value[: self.active] for name, value in named.items()}
        outputs: Tensor = vmap(lambda own: functional_call(self.network, own, (x,)))(active)
        return outputs

    def take_out(self, place: int, into: nn.Module) -> nn.Module:
        """Fill `into`, a network like the original, with what the copy at `place` is now."""
        into.load_state_dict({name: value[place] for name, value in self.network.state_dict().items()})
        return into

    def finite(self) -> Tensor:
        """bool [K]: whether no floating-point weight or buffer of a copy is infinite or NaN."""
        values = [value for value in self.network.state_dict().values() if value.is_floating_point()]
        rows = [value[..., None].flatten(1) for value in values]  # of a scalar weight, too
        sums = [value.sum(1, dtype=torch.promote_types(value.dtype, torch.float32)) for value in rows]
        return torch.isfinite(torch.stack([one.double() for one in sums])).all(0)


def _copies(value: Tensor, count: int) -> Tensor:
    return torch.stack([value.detach()] * count)


def cross_entropies(logits: Tensor, y: Tensor, count: int) -> Tensor:
    """[K] from logits [n, B, C] and labels [B]: the mean cross-entropy of each; 0 of those that are not active."""
    losses = F.cross_entropy(logits.flatten(0, 1), y.repeat(len(logits)), reduction="none")
    return F.pad(losses.view(len(logits), -1).mean(1), (0, count - len(logits)))


class StackedSGD(torch.optim.Optimizer):
    """torch's SGD with momentum, each of the stacked networks by values of its own: numbers, or float64 [K]."""

    def __init__(
        self, params: Iterable[Tensor], *, lr: Tensor | float, weight_decay: Tensor | float, momentum: Tensor | float
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "a step of ours has no closure"
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    lr, decay, momentum = (_beside(group[name], weight) for name in ("lr", "weight_decay", "momentum"))
                    self._move(weight, lr, decay, momentum)

    def _move(self, weight: Tensor, lr: Any, decay: Any, momentum: Any) -> None:
        moved = weight.grad + decay * weight
        state = self.state[weight]
        if "momentum_buffer" in state:
            moved = state["momentum_buffer"].mul_(momentum).add_(moved)
        state["momentum_buffer"] = moved
        weight.sub_(lr * moved)


def _beside(column: Tensor | float, weight: Tensor) -> Tensor | float:
    """A value for each network as [K, 1, ...], to be multiplied with a stacked weight."""
    if not isinstance(column, Tensor):
        return column
    return column.to(weight.dtype).view(-1, *[1] * (weight.ndim - 1))


def why_apart(model: nn.Module, x: Tensor) -> str | None:
    """Why networks like `model` cannot be stacked, tried on the batch x [B, ...] in training mode; None if they can."""
    stacked = Stacked(model, 2).train()
    try:
        with torch.no_grad():
            stacked(x)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # torch's only word for what vmap does not do
        return str(error).split("\n")[0]
    return None
