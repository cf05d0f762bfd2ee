"""`deepunlearn.unlearn`: any method on one's own classifier and data."""

from __future__ import annotations

import copy
import itertools
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.archs.attention_biases import keep_again
from deepunlearn.composition import make_method
from deepunlearn.config import method_config
from deepunlearn.core.errors import ConfigError, DataError, DataWarning, NotApplicable, advising, unknown
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.schema import CpuKernels, RuntimeConfig
from deepunlearn.core.seeding import SEED_BITS, derive_seed
from deepunlearn.data.given import Data, as_tensor, read_given
from deepunlearn.data.loader import Part
from deepunlearn.data.random_sources import seeded_sources
from deepunlearn.given_logits import classes_of
from deepunlearn.given_model import (
    check_fresh,
    check_weights,
    copied_model,
    dtype_of,
    not_finite,
    unwrapped,
)
from deepunlearn.ops.frozen import frozen_names, nothing_to_move
from deepunlearn.registry import Folders
from deepunlearn.running import Setting, execute
from deepunlearn.runtime import Runtime, device_of


def unlearn(
    model: nn.Module,
    *,
    retain: Data,
    forget: Data,
    val: Data | None = None,
    method: str = "ft",
    seed: int = 0,
    parts: Mapping[str, str | Sequence[str]] | None = None,
    fresh: Callable[[], nn.Module] | None = None,
    extra_methods: str | None = None,
    plugins: str | None = None,
    train_frozen: bool = False,
    cpu_kernels: CpuKernels = "auto",
    difficulty: npt.ArrayLike | Tensor | None = None,
    **hyper_parameters: Value | None,
) -> nn.Module:
    """An unlearned copy of `model` in evaluation mode; `model` and the caller's random state stay as they are.

    model: maps [B, ...] inputs to [B, K] logits. retain, forget, val: a Dataset of (input, label), a DataLoader over
    one, a list of such pairs, or a tuple (inputs [N, ...], labels [N]); inputs as the model takes them, un-augmented.
    val only for methods that read it. method: a name of `python -m deepunlearn.methods`; hyper_parameters: its values,
    others, and those that are None, take defaults. parts: names of submodules for methods that address them, where they
    are not found: {"stem": [...], "blocks": [...], "head": "fc"}. fresh: builds a newly initialised network of the same
    architecture; without it layers are reset by their own `reset_parameters`. extra_methods: a folder with methods of
    one's own (docs/adding.md); plugins: one with such a folder, method/. train_frozen: let layers move whose
    `requires_grad` is off, which otherwise stay as they are; the copy has the flags of `model`. cpu_kernels: "off" for
    PyTorch's own optimisers on the CPU, slower and within rounding the same. difficulty: a number for each forget
    sample, high where it is hard to learn or memorised, for methods that go by it (rum).

    Raises ConfigError for unknown names and bad values, DataError for unusable data, NotApplicable where the method
    cannot work on this model or all that it would change is frozen, Diverged where weights or losses become non-finite.
    """
    config = _config(method, val, Folders(plugins, extra_methods))
    params = config.complete({name: _plain(value) for name, value in hyper_parameters.items()})
    seed, model = _whole(seed), unwrapped(model)
    dtype, runtime = dtype_of(model), runtime_of(model, cpu_kernels)
    check_weights(model)
    frozen = frozenset() if train_frozen else _frozen(model)
    with runtime.visit(dtype), seeded_sources(fresh, derive_seed("library", seed), runtime):
        given = {"retain": retain, "forget": forget, **({} if val is None else {"val": val})}
        data, shared, orders = read_given(given, dtype, seed, runtime)
        for sentence in shared:
            warnings.warn(sentence, DataWarning, stacklevel=2)
        setting = _setting(model, data, parts=parts or {}, fresh=fresh, frozen=frozen, runtime=runtime)
        setting = replace(setting, difficulty=_scores(config, difficulty, orders["forget"]))
        with advising("give gentler values, such as a smaller lr= or fewer epochs=, or another method="):
            unlearned, _ = execute(make_method(config, params), setting.problem, runtime, seed)
        return keep_again(_flagged_as(model, unlearned))


def _setting(
    model: nn.Module,
    data: Mapping[str, Part],
    *,
    parts: Mapping[str, str | Sequence[str]],
    fresh: Callable[[], nn.Module] | None,
    frozen: frozenset[str],
    runtime: Runtime,
) -> Setting:
    """What the run is on: a copy of `model`, and the data. Raises ConfigError, DataError."""
    original = copied_model(model).requires_grad_(False).eval()
    with runtime.seeded(0):
        classes = _classes(original, data, frozen)
    if fresh is not None:
        check_fresh(fresh, original)

    def another() -> nn.Module:
        network = copied_model(unwrapped(fresh())) if fresh else reset(original)
        return network.to(runtime.device, dtype_of(model))

    return Setting(
        original=original,
        data={"val": data["retain"].subset([]), **data},
        classes=classes,
        anatomy=lambda copied: Anatomy(copied, parts),
        fresh=another,
        runtime=runtime,
        frozen=frozen,
        kept=frozenset() if fresh else frozenset(not_reset(original)),
        unbounded=frozenset(not_finite(original)),
    )


def _flagged_as(model: nn.Module, unlearned: nn.Module) -> nn.Module:
    """`unlearned` with each parameter's `requires_grad` as in `model`."""
    flags = dict(model.named_parameters())
    for name, parameter in unlearned.named_parameters():
        parameter.requires_grad_(flags[name].requires_grad)
    return unlearned


def _frozen(model: nn.Module) -> frozenset[str]:
    """Names of frozen parameters. Raises NotApplicable where there is no other."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise nothing_to_move("every layer", "a model without a parameter whose requires_grad is on")
    return frozen_names(model)


def reset(model: nn.Module) -> nn.Module:
    """A copy of `model` in which every layer that has `reset_parameters` has drawn new values."""
    fresh = copy.deepcopy(model).requires_grad_(True)
    for module in fresh.modules():
        if callable(getattr(module, "reset_parameters", None)):
            module.reset_parameters()  # type: ignore[operator]
    return fresh


def not_reset(model: nn.Module) -> list[str]:
    """Names of parameters that no module's `reset_parameters` covers."""
    return [
        f"{name}.{key}" if name else key
        for name, module in model.named_modules()
        if not callable(getattr(module, "reset_parameters", None))
        for key, _ in module.named_parameters(recurse=False)
        if not _covered(model, name)
    ]


def _covered(model: nn.Module, name: str) -> bool:
    """Whether a module above `name` resets it, as nn.MultiheadAttention does for its projections."""
    above = name.split(".")
    parents = [".".join(above[:depth]) for depth in range(len(above))]
    owners = (nn.MultiheadAttention,)
    return any(isinstance(model.get_submodule(parent), owners) for parent in parents if parent)


def _config(method: str, val: Data | None, folders: Folders) -> MethodConfig:
    if not isinstance(method, str):
        raise ConfigError("method is not a name", given=repr(method), allowed="a string", remedy='give method="ft"')
    config = method_config(method, folders)
    if config.records:
        raise NotApplicable(
            f"{method} needs a record of the original's training, and there is none of this model",
            given="a model that was trained elsewhere",
            allowed="models that a sweep trains, which records what this method needs",
            remedy=f"use another method, or python -m deepunlearn.sweep method={method}",
        )
    if "val" in config.reads and val is None:
        raise ConfigError(
            f"method {method} reads validation data",
            given="val=None",
            allowed="a Dataset, DataLoader or (inputs, labels)",
            remedy="give val=..., samples that the model was not trained on",
        )
    return config


def _scores(config: MethodConfig, difficulty: Any, order: Sequence[int]) -> Tensor | None:
    """float64 [N], or None of a method that goes by none. Raises ConfigError for others than finite numbers.

    order: of each of our samples the place in what the caller gave.
    """
    needed, samples = config.needs == "difficulty", len(order)
    if difficulty is None and not needed:
        return None
    allowed = f"{samples} finite numbers, one for each forget sample, high for hard ones"
    if difficulty is None or not needed:
        raise ConfigError(
            f"method {config.name} goes by how hard forget samples are" if needed else "difficulty is not asked for",
            given="difficulty=None" if needed else f"difficulty= with method={config.name}",
            allowed=allowed if needed else "a method that goes by it, such as rum",
            remedy="give difficulty=[...], e.g. 1 - the mean confidence in the label over the epochs of training"
            if needed
            else "leave difficulty out",
        )
    scores: Tensor | None = None
    with suppress(TypeError, ValueError, RuntimeError):
        scores = as_tensor(difficulty, torch.float64).detach().cpu()
    if scores is None or scores.shape != (samples,) or not bool(torch.isfinite(scores).all()):
        raise ConfigError(
            "difficulty does not have one number for each forget sample",
            given=f"{type(difficulty).__name__} "
            + ("that holds more than numbers" if scores is None else f"of shape {list(scores.shape)}"),
            allowed=allowed,
            remedy="give a list, an array or a tensor, in the order of forget",
        )
    return scores[torch.as_tensor(order)]


def _whole(seed: Any) -> int:
    """`seed` as Python's int. Raises ConfigError."""
    try:
        if not isinstance(seed, bool) and 0 <= operator.index(seed) < 2**SEED_BITS:
            return operator.index(seed)
    except TypeError:
        pass
    raise ConfigError("not a seed", given=repr(seed), allowed=f"whole numbers from 0 to 2^{SEED_BITS} - 1",
                      remedy="give seed=0")  # fmt: skip


def _plain(value: Any) -> Any:
    """A number of numpy or PyTorch as Python's."""
    return value.item() if isinstance(value, np.generic | Tensor) and value.ndim == 0 else value


def runtime_of(model: nn.Module, cpu_kernels: CpuKernels = "auto") -> Runtime:
    """On the model's device. Raises ConfigError for an unknown choice of kernels."""
    if cpu_kernels not in (choices := get_args(CpuKernels)):
        raise unknown("choice of CPU kernels", str(cpu_kernels), choices)
    device = device_of(tensor.device for tensor in itertools.chain(model.parameters(), model.buffers()))
    values = {"device": "auto", "precision": "fp32", "threads": None, "cpu_kernels": cpu_kernels}
    return Runtime(RuntimeConfig(**values, checkpoint_seconds=0, data_budget_gb=1), device)


def _classes(original: nn.Module, data: Mapping[str, Part], frozen: Set[str]) -> int:
    """K of the model's logits. Raises ConfigError where it gives something else, DataError where labels do not fit."""
    two, _ = next(data["retain"].joined(data["forget"]).blocks(2))
    classes = classes_of(original, two, frozen)
    for name, part in data.items():
        check_labels(name, part.labels, classes)
    return classes


def check_labels(name: str, labels: Tensor, classes: int) -> None:
    """Raises DataError for labels [N] that are no number of a logit."""
    outside = labels[labels >= classes]
    if len(outside):
        raise DataError(
            f"{len(outside)} of {len(labels)} labels of {name} are out of the range of the model's {classes} logits",
            given=", ".join(map(str, outside.unique().tolist()[:5])),
            allowed=f"0 to {classes - 1}",
            remedy="number the classes as in the model's training",
        )
