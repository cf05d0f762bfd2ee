"""Architectures: a module with `build` plus a YAML under `conf/arch/` that names it is the registration.

`build(classes, image_size, **arguments) -> nn.Module` draws initial weights from torch's global generator. A module
whose YAML says `tables: true` has `build_table(classes, features, **arguments)` for tables' rows, too. Where stem,
blocks and head cannot be found by themselves (`anatomy`), the module's `PARTS` or `arch.parts` name submodules.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch
from torch import nn

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.archs.attention_biases import gather_anew
from deepunlearn.archs.weights import load_start
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import Features, Inputs
from deepunlearn.plugin_code import digest, functions, load


def build(arch: ArchConfig, classes: int, inputs: Inputs, seed: int | None = None) -> nn.Module:
    """A new network on the CPU for images [N, 3, inputs, inputs], or rows [N, inputs.number], with `classes` logits.

    With `seed` the initial weights depend on (architecture, classes, seed) only and the caller's random state stays
    as it was; without, they come from the global generator. Raises ConfigError if `arch.module` does not exist.
    """
    make, size = _builder(arch, inputs)
    if seed is None:
        return gather_anew(make(classes, size, **arch.arguments))
    # Only the CPU's generator is forked and seeded: torch.manual_seed would reseed every accelerator as well.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return gather_anew(make(classes, size, **arch.arguments))


def _builder(arch: ArchConfig, inputs: Inputs) -> tuple[Callable[..., nn.Module], int]:
    """The function of the module that builds for such inputs, and their size."""
    module = _module(arch)
    if not isinstance(inputs, Features):
        return module.build, inputs
    return functions(module, ("build_table",), f"architecture {arch.name!r}")["build_table"], inputs.number


def start(arch: ArchConfig, classes: int, inputs: Inputs, seed: int) -> nn.Module:
    """What trainings begin with: `build`, filled from `arch.weights` where there is such a file."""
    model = build(arch, classes, inputs, seed)
    if arch.weights is not None:
        load_start(arch, model, anatomy_of(arch, model))
    return model


def anatomy_of(arch: ArchConfig, model: nn.Module) -> Anatomy:
    """Stem, blocks and head of a `model` that `build` made for `arch`."""
    return Anatomy(model, {**getattr(_module(arch), "PARTS", {}), **arch.parts})


def _module(arch: ArchConfig) -> ModuleType:
    module = load(arch.module)
    functions(module, ("build",), f"architecture {arch.name!r}")
    if arch.code not in (None, arch.module) and digest([arch.module]) != arch.code:
        raise ConfigError(
            f"the code of architecture {arch.name!r} was edited after the command began",
            given=arch.module,
            allowed="the code as it was when the command began",
            remedy="run the command again; results of the code as it was are kept",
        )
    return module
