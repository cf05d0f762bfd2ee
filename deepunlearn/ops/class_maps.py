"""Where in an image a network sees what speaks for its label: Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391).

Computed by the package `grad-cam`, an extra: `pip install 'deepunlearn[panels]'`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.core.errors import ConfigError, NotApplicable

PACKAGE = "pytorch_grad_cam"
LEAST = 16  # places of a map that tells more than left from right; 4 x 4
TOKENS_BESIDE = (0, 1, 2, 4, 5)  # that stand before patches: none, a class token, a distilled one, four registers

Maps = npt.NDArray[np.float32]


class Level(NamedTuple):
    """What is looked at: block `number` of the network's `blocks`, counted from 1, with height x width places."""

    number: int
    blocks: int
    height: int
    width: int


class _Seen(NamedTuple):
    level: Level
    output: Tensor


def require_package() -> None:
    """Raises ConfigError where the package `grad-cam` is not installed."""
    if find_spec(PACKAGE) is None:
        raise ConfigError(
            "class-activation maps need the package grad-cam, which is not installed",
            given=f"no module {PACKAGE}",
            allowed="an environment with grad-cam",
            remedy="pip install 'deepunlearn[panels]', or leave panels=true out",
        )


def level_of(model: nn.Module, anatomy: Anatomy, inputs: Tensor, labels: Tensor) -> Level:
    """The deepest block of `model` that still tells places of an image apart, and through which its label is decided.

    inputs: [N, ...]; labels: int64 [N]. Deepest of those with 16 places or more, else the one with the most. At 32 x 32
    pixels the last blocks of networks for large images have a single place. A ViT's last block is passed over where
    only its class token is read: its patches decide nothing any more. Raises NotApplicable where no block has places.
    """
    seen = [one for one in _watched(model, anatomy, inputs, labels) if one.level.height * one.level.width > 1]
    deciding = [one.level for one in seen if one.output.grad is not None and _patches(one.output.grad).any()]
    if not deciding:
        raise NotApplicable(
            "class-activation maps need a network that keeps the places of an image",
            given=f"inputs of shape {list(inputs.shape[1:])}, a {type(model).__name__} of {len(anatomy.blocks)} blocks",
            allowed="images, and a network with convolutions or patches",
            remedy="use another architecture than mlp; the rows of a table have no places",
        )
    fine = [one for one in deciding if one.height * one.width >= LEAST]
    return fine[-1] if fine else max(deciding, key=lambda one: (one.height * one.width, one.number))


def class_maps(model: nn.Module, anatomy: Anatomy, level: Level, inputs: Tensor, labels: Tensor) -> Maps:
    """Grad-CAM of each input's label: [N, S, S], each map from 0 to 1, its own highest value.

    A map is 0 everywhere where nothing speaks for the label.

    inputs: images [N, 3, S, S]; labels: int64 [N]. `model` is in evaluation mode afterwards.
    """
    from pytorch_grad_cam import GradCAM  # noqa: PLC0415 - an extra
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: PLC0415

    layer = _last(anatomy.blocks[level.number - 1])
    maps = GradCAM(model=model, target_layers=[layer], reshape_transform=partial(as_map, strict=True))
    try:
        with torch.enable_grad(), _trainable(model):
            found: Maps = maps(inputs, targets=[ClassifierOutputTarget(label) for label in labels.tolist()])
    finally:
        maps.activations_and_grads.release()
        model.zero_grad(set_to_none=True)
    return found.astype(np.float32)


def as_map(output: object, *, strict: bool = False) -> Tensor | None:
    """What a block gives, as maps [N, C, h, w]; None (strict: an error) where it has no places.

    Taken as it is where [N, C, h, w]; channels last (Swin) are put first; of tokens [N, L, C] the patches, row by row.
    """
    if isinstance(output, Tensor) and output.dim() == 4:
        channels_last = output.shape[1] == output.shape[2] != output.shape[3]
        return output.permute(0, 3, 1, 2) if channels_last else output
    if isinstance(output, Tensor) and output.dim() == 3:
        beside = [count for count in TOKENS_BESIDE if _is_square(output.shape[1] - count)]
        if beside:
            side = math.isqrt(output.shape[1] - beside[0])
            return output[:, beside[0] :].transpose(1, 2).reshape(len(output), -1, side, side)
    assert not strict, "a level is only made of what has places"
    return None


def _is_square(count: int) -> bool:
    return count > 0 and math.isqrt(count) ** 2 == count


def _patches(gradient: Tensor) -> Tensor:
    """The gradient on places, without that on tokens beside them."""
    places = as_map(gradient)
    assert places is not None
    return places != 0


def _watched(model: nn.Module, anatomy: Anatomy, inputs: Tensor, labels: Tensor) -> list[_Seen]:
    """The outputs of blocks that have places, with the gradient of the labels' logits, from the first block on."""
    outputs: dict[int, Tensor] = {}
    blocks = anatomy.blocks
    with ExitStack() as stack, torch.enable_grad(), _trainable(model.eval()):
        for number, block in enumerate(blocks, start=1):
            handle = _last(block).register_forward_hook(partial(_keep, outputs, number))
            stack.callback(handle.remove)
        logits = model(inputs)
        logits.gather(1, labels[:, None]).sum().backward()
    model.zero_grad(set_to_none=True)
    sizes = {number: places.shape[2:] for number, one in outputs.items() if (places := as_map(one)) is not None}
    return [_Seen(Level(number, len(blocks), *size), outputs[number]) for number, size in sorted(sizes.items())]


def _keep(outputs: dict[int, Tensor], number: int, module: nn.Module, inputs: object, output: object) -> None:
    if isinstance(output, Tensor) and output.requires_grad:
        output.retain_grad()
        outputs[number] = output


def _last(block: nn.Module) -> nn.Module:
    """The module whose output is the block's: a block of several is a ModuleList, which is never called."""
    while isinstance(block, nn.ModuleList):
        block = block[-1]
    return block


@contextmanager
def _trainable(model: nn.Module) -> Iterator[None]:
    """Every parameter asks for a gradient in the block: without one there is none on maps either."""
    flags = [(one, one.requires_grad) for one in model.parameters()]
    model.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
