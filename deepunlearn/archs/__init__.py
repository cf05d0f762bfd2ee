"""Architectures: a file here (or anywhere importable) plus `conf/arch/<name>.yaml` naming it is the registration.

Such a module has `build(classes, image_size) -> nn.Module`, which draws initial weights from torch's global
generator, and `parts(model) -> Parts`, which says where stem, blocks and head are (specs: methods, "model facts").
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import torch
from torch import nn

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import ArchConfig


@dataclass(frozen=True)
class Parts:
    """The parts of a network that methods address; the modules are the model's own, not copies."""

    stem: tuple[nn.Module, ...]  # the convolutions that see the image, first to last
    blocks: tuple[nn.Module, ...]  # what "the last k blocks" counts, input to output, without stem and head
    head: nn.Linear  # features -> logits
    hidden: tuple[nn.Module, ...] = ()  # layers of a classifier before its head: re-trained with it


def build(arch: ArchConfig, classes: int, image_size: int, seed: int | None = None) -> nn.Module:
    """A new network on the CPU for (N, 3, image_size, image_size) images with `classes` logits.

    With `seed` the initial weights depend on (architecture, classes, seed) only and the caller's random state stays
    as it was; without, they come from the global generator. Raises ConfigError if `arch.module` does not exist.
    """
    module = _module(arch)
    if seed is None:
        return module.build(classes, image_size)
    # Only the CPU's generator is forked and seeded: torch.manual_seed would reseed every accelerator as well.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return module.build(classes, image_size)


def parts(arch: ArchConfig, model: nn.Module) -> Parts:
    """Stem, blocks and head of a `model` that `build` made for `arch`."""
    return _module(arch).parts(model)


def _module(arch: ArchConfig) -> ModuleType:
    try:
        module = import_module(arch.module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{arch.module}.".startswith(f"{error.name}."):
            raise  # the module is there, something that it imports is not
        raise ConfigError(
            f"the module of architecture {arch.name!r} does not exist",
            given=arch.module,
            allowed="the dotted name of an importable Python module",
            remedy="correct `module:` in its file under conf/arch/, or put the module where Python finds it",
        ) from None
    missing = [name for name in ("build", "parts") if not callable(getattr(module, name, None))]
    if missing:
        raise ConfigError(
            f"the module of architecture {arch.name!r} lacks {' and '.join(missing)}",
            given=arch.module,
            allowed="a module with build(classes, image_size) and parts(model)",
            remedy="add the missing functions, see deepunlearn/archs/small.py for the shortest example",
        )
    return module
