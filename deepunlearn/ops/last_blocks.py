"""Training only the last blocks and what lies behind them (CF-k, EU-k)."""

from __future__ import annotations

from torch import nn

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.core.errors import ConfigError


def last_blocks(anatomy: Anatomy, k: int) -> list[nn.Module]:
    """The last `k` blocks, hidden layers of the classifier and the head. Raises ConfigError if blocks are fewer."""
    if k > len(anatomy.blocks):
        raise ConfigError(
            "k is larger than the number of blocks",
            given=k,
            allowed=f"1 to {len(anatomy.blocks)} for this architecture",
            remedy="lower method.params.k, or k= of a library call",
        )
    return [*anatomy.blocks[len(anatomy.blocks) - k :], *anatomy.hidden, anatomy.head]


def train_only(model: nn.Module, modules: list[nn.Module]) -> None:
    """`modules` in training mode, everything else in evaluation mode, so that its statistics stay as they are."""
    model.eval()
    for module in modules:
        module.train()


def parameters_of(modules: list[nn.Module]) -> list[nn.Parameter]:
    """Each parameter once."""
    return list(dict.fromkeys(parameter for module in modules for parameter in module.parameters()))
