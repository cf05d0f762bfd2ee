"""What must stay as it is in a model: parameters that its owner froze, and running statistics that go with them."""

from __future__ import annotations

from collections.abc import Iterator, Set

import torch
from torch import Tensor, nn

from deepunlearn.core.errors import NotApplicable


def frozen_names(model: nn.Module) -> frozenset[str]:
    """Names of the parameters whose `requires_grad` is off; a shared one under each of its names."""
    named = model.named_parameters(remove_duplicate=False)
    return frozenset(name for name, parameter in named if not parameter.requires_grad)


class Frozen:
    """Holds the parameters `names` of `model`, and the buffers of layers that are frozen with them, until `release`.

    A layer with buffers is frozen where all its parameters are; one without parameters of its own, where all of the
    nearest module around it are. For the time of the run it computes as in evaluation mode, whatever mode a method
    asks for: statistics of a batch would be those of another layer than the frozen one, and would move its own.
    """

    def __init__(self, model: nn.Module, names: Set[str]) -> None:
        named = dict(model.named_parameters(remove_duplicate=False))
        self._parameters = {id(named[name]) for name in names}
        # tensors under all names: a weight that is shared with a frozen layer is frozen under the other name as well
        parameters = {name for name, parameter in named.items() if id(parameter) in self._parameters}
        layers = dict(_frozen_layers(model, named, parameters)) if names else {}
        buffers = {
            f"{at}.{key}".lstrip(".") for at, layer in layers.items() for key, _ in layer.named_buffers(recurse=False)
        }
        self.names = frozenset(parameters | buffers)
        self._hooks = [layer.register_forward_pre_hook(_evaluate) for layer in layers.values()]

    def holds(self, parameter: Tensor) -> bool:
        """Whether this parameter must stay."""
        return id(parameter) in self._parameters

    def release(self) -> None:
        """Leave nothing on the model."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def changed(self, model: nn.Module, original: nn.Module) -> list[str]:
        """Names of what differs from `original` and must not."""
        if not self.names:
            return []
        now, before = model.state_dict(), original.state_dict()
        return sorted(name for name in self.names & set(now) if not torch.equal(now[name], before[name]))


def _frozen_layers(
    model: nn.Module, named: dict[str, nn.Parameter], frozen: Set[str]
) -> Iterator[tuple[str, nn.Module]]:
    """The layers with buffers of their own that count as frozen."""
    for at, layer in model.named_modules():
        if next(layer.buffers(recurse=False), None) is None:
            continue
        around = at.split(".") if at else []
        for depth in range(len(around), -1, -1):
            prefix = "".join(f"{name}." for name in around[:depth])
            held = [name for name in named if name.startswith(prefix)]
            if held:
                if set(held) <= frozen:
                    yield at, layer
                break


def _evaluate(layer: nn.Module, _: object) -> None:
    layer.training = False


def nothing_to_move(what: str, given: str) -> NotApplicable:
    """The error of a method that has nothing left to change; what: words for all that it would change."""
    return NotApplicable(
        f"{what} is frozen in this model",
        given=given,
        allowed="at least one of them with requires_grad on",
        remedy="unfreeze some with requires_grad_(True), or give train_frozen=True, which moves frozen layers too",
    )
