"""Attention biases that timm's TinyViT, LeViT, EfficientFormer and EfficientViT (MSRA) keep in evaluation mode.

These gather them from their table once and keep them, with the graph of that call, until `train()` or `eval()` is
called. A method that moves weights in evaluation mode would go on with old ones, its second backward pass would meet a
graph that is freed, gradients by other weights than the model's own would be 0, and the model could not be copied.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from torch import nn

KEPT = "attention_bias_cache"  # what timm calls the dictionary


def gather_anew(model: nn.Module) -> nn.Module:
    """`model` itself, which from now on keeps none beyond a call; so do its copies."""
    for module in _keeping(model):
        module.register_forward_pre_hook(_forget)  # what a call that failed has left
        module.register_forward_hook(_forget)
    return model


def keep_again(model: nn.Module) -> nn.Module:
    """`model` itself as it was before `gather_anew`, of which it may be a copy."""
    for module in _keeping(model):
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for number in [number for number, hook in hooks.items() if hook is _forget]:
                del hooks[number]
    return model


def copy_without_kept(model: nn.Module) -> nn.Module:
    """A deep copy in which nothing is kept: what has a graph cannot be copied."""
    return copy.deepcopy(model, {id(getattr(module, KEPT)): {} for module in _keeping(model)})


def _keeping(model: nn.Module) -> Iterator[nn.Module]:
    return (module for module in model.modules() if isinstance(getattr(module, KEPT, None), dict))


def _forget(module: nn.Module, *_: Any) -> None:
    getattr(module, KEPT).clear()
