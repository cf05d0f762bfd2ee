"""Architectures: a file here (or anywhere importable) plus `conf/arch/<name>.yaml` naming it is the registration.

Such a module has `build(classes, image_size) -> nn.Module`, which draws initial weights from torch's global
generator, and `parts(model) -> Parts`, which says where stem, blocks and head are (specs: methods, "model facts").
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import torch
from torch import nn

from deepunlearn.core.schema import ArchConfig
from deepunlearn.registry import functions, load


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
    module = load(arch.module)
    functions(module, ("build", "parts"), f"architecture {arch.name!r}")
    return module
