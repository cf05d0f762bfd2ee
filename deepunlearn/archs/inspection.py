"""What is wrong with a network, and what it needs, found before anything runs: on PyTorch's meta device, without data.

Nothing is computed there, only shapes; a network that cannot be built so is built and tried on the CPU.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from deepunlearn import archs
from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.archs.shares import REMEDY, end_in_softmax
from deepunlearn.archs.weights import load_start
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.errors import ConfigError, DeepUnlearnError, NotApplicable
from deepunlearn.core.schema import Features, Inputs, named_inputs, shape_of

SIZES = (32, 64, 96, 224, 256, 299, 384)  # pixels that are tried where a network refuses the given ones
COPIES = 5  # of the weights while a method runs: original, working copy, gradients, momentum, and another network


class Inspected(NamedTuple):
    """What a network is like."""

    blocks: int | None  # null: they cannot be told
    parameters: int
    weight_bytes: int
    image_bytes: int  # of activations that a training step keeps of one image or row
    head_left: tuple[str, ...]  # tensors of the head that a file of weights does not fill

    def bytes_at(self, batch_size: int) -> int:
        """Memory that a training step or a method needs at least."""
        return COPIES * self.weight_bytes + batch_size * self.image_bytes


def inspected(arch: ArchConfig, classes: int, inputs: Inputs) -> Inspected:
    """Raises ConfigError where it cannot be built, gives no logits for such inputs, or has weights that do not fit."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what concerns weights that are never used
        model, logits, kept = _tried(arch, classes, inputs)
        if not isinstance(logits, Tensor) or logits.shape != (2, classes):
            raise _no_logits(arch, logits, classes)
        _refuse_softmax(arch, model, logits, inputs)
        anatomy = archs.anatomy_of(arch, model)
        left = load_start(arch, model, anatomy) if arch.weights else ()
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    return Inspected(
        blocks=_blocks(anatomy),
        parameters=sum(value.numel() for value in model.parameters()),
        weight_bytes=weights,
        image_bytes=kept // 2,
        head_left=left,
    )


def _refuse_softmax(arch: ArchConfig, model: nn.Module, logits: Tensor, inputs: Inputs) -> None:
    """Raises ConfigError where the network gives shares in place of `logits`, or does so in evaluation mode."""
    ends = {"training": end_in_softmax(logits)}
    with suppress(Exception):  # what fails in evaluation mode alone has its own message when it runs
        ends["evaluation"] = end_in_softmax(model.eval()(torch.zeros(2, *shape_of(inputs), device=logits.device)))
    model.train()
    modes = " and ".join(mode for mode, given in ends.items() if given)
    if modes:
        raise ConfigError(
            f"{arch.name} gives probabilities and not logits",
            given=f"a softmax is its last step in {modes} mode",
            allowed="logits: any numbers, the largest for the likeliest class",
            remedy=REMEDY,
        )


def _blocks(anatomy: Anatomy) -> int | None:
    try:
        return len(anatomy.blocks)
    except NotApplicable:
        return None


def _tried(arch: ArchConfig, classes: int, inputs: Inputs) -> tuple[nn.Module, Any, int]:
    """The network and what `_passed` gives; on the CPU where it looks at its numbers, which the meta device lacks."""
    with suppress(Exception):  # what is wrong shows on the CPU again
        with torch.device("meta"):
            model = archs.build(arch, classes, inputs)
        return model, *_passed(model, inputs, "meta")
    try:
        model = archs.build(arch, classes, inputs)
    except DeepUnlearnError:
        raise
    except Exception as error:
        raise _not_built(arch, classes, inputs, error) from error
    try:
        return model, *_passed(model, inputs, "cpu")
    except Exception as error:
        raise _no_such_size(arch, classes, inputs, error) from error


def _passed(model: nn.Module, inputs: Inputs, device: str) -> tuple[Any, int]:
    """What two samples give in training mode, and the bytes that are kept for going back."""
    own = {_memory_of(tensor) for tensor in model.state_dict().values()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _memory_of(tensor) not in own:  # nor a view of a weight
            kept[_memory_of(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model.train()(torch.zeros(2, *shape_of(inputs), device=device))
    return logits, sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def _memory_of(tensor: Tensor) -> int:
    """A number for the memory behind a tensor, the same for views of one; pointers are all 0 on the meta device."""
    return int(tensor.untyped_storage()._cdata)


def _not_built(arch: ArchConfig, classes: int, inputs: Inputs, error: Exception) -> ConfigError:
    if not isinstance(inputs, Features) and not isinstance(error, TypeError):
        sizes = _sizes(arch, classes, inputs)
        if sizes:
            return _wrong_size(arch, inputs, error, sizes)
    return ConfigError(
        f"the network {arch.name} cannot be built",
        given=_said(error),
        allowed="arguments that its constructor takes" if arch.args else "build(classes, image_size) that runs",
        remedy="correct arch.args." if arch.args else f"correct {arch.module}",
    )


def _no_such_size(arch: ArchConfig, classes: int, inputs: Inputs, error: Exception) -> ConfigError:
    if not isinstance(inputs, Features):
        return _wrong_size(arch, inputs, error, _sizes(arch, classes, inputs))
    return ConfigError(
        f"{arch.name} cannot be given the rows of this table",
        given=f"{named_inputs(inputs)}: {_said(error)}",
        allowed="a network whose build_table(classes, features) takes [N, columns]",
        remedy=f"correct {arch.module}, or give arch=mlp",
    )


def _wrong_size(arch: ArchConfig, image_size: int, error: Exception, sizes: list[int]) -> ConfigError:
    nearest = min(sizes, key=lambda size: (size < image_size, abs(size - image_size)), default=None)
    return ConfigError(
        f"{arch.name} takes no images of {image_size}x{image_size} pixels",
        given=f"dataset.image_size={image_size}: {_said(error)}",
        allowed=", ".join(map(str, sizes)) or f"none of {', '.join(map(str, SIZES))}",
        remedy=f"give dataset.image_size={nearest}, which resizes the images, or another network"
        if nearest
        else "look into the network with the error that is given",
    )


def _sizes(arch: ArchConfig, classes: int, not_this: int) -> list[int]:
    """Those of SIZES that the network takes; on the CPU where it takes none on the meta device, as in `_tried`."""
    others = [size for size in SIZES if size != not_this]
    on_meta = [size for size in others if _takes(arch, classes, size, "meta")]
    return on_meta or [size for size in others if _takes(arch, classes, size, "cpu")]


def _takes(arch: ArchConfig, classes: int, size: int, device: str) -> bool:
    with suppress(Exception):  # the reason that is told is that of the given size
        with torch.device(device):
            _passed(archs.build(arch, classes, size), size, device)
        return True
    return False


def _no_logits(arch: ArchConfig, given: Any, classes: int) -> ConfigError:
    shape = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
    return ConfigError(
        f"{arch.name} does not give logits in training mode",
        given=f"{shape} for 2 images",
        allowed=f"a tensor [2, {classes}]",
        remedy="choose an image classifier, without further heads",
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
