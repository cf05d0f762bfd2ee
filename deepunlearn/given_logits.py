"""What a model of one's own gives: logits [B, K], in evaluation and in training mode."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import torch
from torch import Tensor, nn

from deepunlearn.archs.shares import REMEDY, are_shares
from deepunlearn.core.errors import ConfigError
from deepunlearn.given_model import copied_model
from deepunlearn.ops.step import unused


def classes_of(model: nn.Module, x: Tensor, frozen: Set[str]) -> int:
    """K of the logits that `model` gives for a batch `x`; it stays as it is.

    Methods train it: so its outputs in training mode count, and must depend on a parameter that is not `frozen`.
    Raises ConfigError for other outputs, or where it cannot be called, NotApplicable where nothing can be trained.
    """
    probe = copied_model(model)
    for name, parameter in probe.named_parameters(remove_duplicate=False):
        parameter.requires_grad_(name not in frozen)
    with torch.enable_grad():
        classes = _logits(probe.eval(), x, "evaluation", "K").shape[1]
        logits = _logits(probe.train(), x, "training", str(classes))
    if not logits.requires_grad:
        raise unused()
    return classes


def classes_to_judge(model: nn.Module, x: Tensor) -> int:
    """K of the logits, finite or not, that `model` gives for a batch `x` in evaluation mode; it stays as it is.

    Raises ConfigError for other outputs, or where it cannot be called.
    """
    with torch.inference_mode():
        return _shaped(copied_model(model).eval(), x, "evaluation", "K").shape[1]


def _logits(model: nn.Module, x: Tensor, mode: str, classes: str) -> Tensor:
    """The same of `_shaped`, finite."""
    logits = _shaped(model, x, mode, classes)
    if not torch.isfinite(logits).all():
        raise ConfigError(
            f"the model's logits are not finite in {mode} mode",
            given=f"{logits[0].tolist()[:5]} on a sample",
            allowed="finite logits",
            remedy="see what the model makes of your inputs",
        )
    return logits


def _shaped(model: nn.Module, x: Tensor, mode: str, classes: str) -> Tensor:
    """The output for `x`, which must be of shape (B, classes); "K" stands for any number from 2 on."""
    output = _output(model, x, mode)
    good = isinstance(output, Tensor) and output.is_floating_point() and output.dim() == 2 and len(output) == len(x)
    if not good or output.shape[1] < 2 or (classes != "K" and str(output.shape[1]) != classes):
        raise ConfigError(
            f"the model does not give logits in {mode} mode",
            given=f"{_described(output)} for {len(x)} inputs",
            allowed=f"a tensor [{len(x)}, {classes}], K at least 2, in evaluation and in training mode",
            remedy="let it return a logit per class alone: wrap it, or build it without auxiliary heads "
            "(aux_logits=False)",
        )
    logits: Tensor = output
    _refuse_shares(logits, mode)
    return logits


def _refuse_shares(logits: Tensor, mode: str) -> None:
    if are_shares(logits):
        raise ConfigError(
            f"the model gives probabilities and not logits in {mode} mode",
            given=f"all outputs lie between 0 and 1 and sum to 1 on each of {len(logits)} samples",
            allowed="logits: any numbers, the largest for the likeliest class",
            remedy=REMEDY,
        )


def _output(model: nn.Module, x: Tensor, mode: str) -> Any:
    try:
        return model(x)
    except Exception as error:
        raise ConfigError(
            f"the model does not work on these inputs in {mode} mode",
            given=f"inputs {tuple(x.shape)} of {x.dtype}: {type(error).__name__}: {error}",
            allowed="model(inputs), in evaluation and in training mode, of inputs as retain and forget give them",
            remedy="call your model on such a batch in this mode; prepare the data as in its training, wrap a model "
            "that takes more than inputs",
        ) from error


def _described(output: Any) -> str:
    if not isinstance(output, Tensor):
        return type(output).__name__
    return f"{output.dtype} of shape {tuple(output.shape)}".removeprefix("torch.")
