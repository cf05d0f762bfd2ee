"""`deepunlearn.unlearn`: any method on one's own classifier and data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.composition import make_method
from deepunlearn.config import method_configs
from deepunlearn.core.errors import ConfigError, DataError, unknown
from deepunlearn.core.params import Value
from deepunlearn.core.schema import MethodConfig, RuntimeConfig
from deepunlearn.data.loader import GivenData, Part, part_of
from deepunlearn.methods.base import Problem, execute, working_copy
from deepunlearn.runtime import Runtime

Data = Dataset[Any] | DataLoader[Any] | tuple[Tensor, Tensor]


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
    **hyper_parameters: Value,
) -> nn.Module:
    """An unlearned copy of `model` in evaluation mode; `model` and the caller's random state stay as they are.

    model: maps [B, ...] inputs to [B, K] logits. retain, forget, val: a Dataset of (input, label), a DataLoader over
    one, or a tuple (inputs [N, ...], labels [N]); inputs as the model takes them, un-augmented. val only for methods
    that read it. method: a name of `python -m deepunlearn.methods`; hyper_parameters: its values, others take defaults.
    parts: names of submodules for methods that address them, where they are not found: {"stem": [...], "blocks": [...],
    "head": "fc"}. fresh: builds a newly initialised network of the same architecture; without it layers are reset by
    their own `reset_parameters`. extra_methods: a folder with methods of one's own (docs/adding.md).

    Raises ConfigError for unknown names and bad values, DataError for unusable data, NotApplicable where the method
    cannot work on this model, Diverged where weights or losses become non-finite.
    """
    config = _config(method, val, extra_methods)
    params = config.complete(hyper_parameters)
    runtime = _runtime_of(model)
    data = _parts({"retain": retain, "forget": forget, **({} if val is None else {"val": val})}, runtime.device)
    original = copy.deepcopy(model).requires_grad_(False).eval()
    classes = _classes(original, data)

    def problem_of(generator: torch.Generator) -> Problem:
        copied = working_copy(original)
        resets = fresh or (lambda: reset(original))
        return Problem(
            original=original,
            model=copied,
            parts=Anatomy(copied, parts or {}),
            retain=data["retain"],
            forget=data["forget"],
            val=data.get("val", data["retain"].subset([])),
            classes=classes,
            generator=generator,
            _fresh=lambda: resets().to(runtime.device),
            _runtime=runtime,
            _kept=frozenset() if fresh else frozenset(not_reset(original)),
        )

    unlearned, _ = execute(make_method(config, params), problem_of, runtime, seed)
    return unlearned.requires_grad_(True)


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


def _config(method: str, val: Data | None, extra_methods: str | None) -> MethodConfig:
    configs = method_configs(extra_methods)
    if method not in configs:
        raise unknown("method", method, configs)
    if "val" in configs[method].reads and val is None:
        raise ConfigError(
            f"method {method} reads validation data",
            given="val=None",
            allowed="a Dataset, DataLoader or (inputs, labels)",
            remedy="give val=..., samples that the model was not trained on",
        )
    return configs[method]


def _runtime_of(model: nn.Module) -> Runtime:
    parameter = next(model.parameters(), None)
    if parameter is None:
        raise ConfigError("the model has no parameters", given=type(model).__name__, remedy="give a trained classifier")
    values = {"device": parameter.device.type, "precision": "fp32", "threads": None}
    return Runtime(RuntimeConfig(**values, checkpoint_seconds=0, data_budget_gb=1))


def _parts(given: Mapping[str, Data], device: torch.device) -> dict[str, Part]:
    """All data in one place, so that methods can join parts of it."""
    tensors = {name: _tensors(name, data) for name, data in given.items()}
    shapes = {tuple(inputs.shape[1:]) for inputs, _ in tensors.values()}
    if len(shapes) > 1:
        raise DataError(
            "inputs of different shapes", given=str(sorted(shapes)), allowed="one shape", remedy="resize them"
        )
    together = GivenData(
        torch.cat([inputs for inputs, _ in tensors.values()]),
        torch.cat([labels for _, labels in tensors.values()]),
        device,
    )
    parts, start = {}, 0
    for name, (_, labels) in tensors.items():
        parts[name] = part_of(together, range(start, start + len(labels)))
        start += len(labels)
    return parts


def _tensors(name: str, data: Data) -> tuple[Tensor, Tensor]:
    """(inputs float [N, ...], labels int64 [N]). Raises DataError naming the argument."""
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(item, Tensor) for item in data):
        inputs, labels = data
    elif isinstance(data, DataLoader):
        inputs, labels = _gathered(name, data, torch.cat)
    elif isinstance(data, Dataset):
        inputs, labels = _gathered(name, (data[index] for index in range(len(data))), torch.stack)  # type: ignore[arg-type]
    else:
        raise DataError(
            f"cannot read {name}",
            given=type(data).__name__,
            allowed="a Dataset, a DataLoader or a tuple of two tensors",
            remedy=f"give {name}=(inputs, labels)",
        )
    if len(inputs) != len(labels) or len(labels) == 0 or labels.dim() != 1 or labels.is_floating_point():
        raise DataError(
            f"{name} is not a set of labelled samples",
            given=f"inputs {tuple(inputs.shape)}, labels {tuple(labels.shape)} of {labels.dtype}",
            allowed="inputs [N, ...] and integer labels [N], N at least 1",
            remedy="check what the dataset returns",
        )
    return inputs, labels.long()


def _gathered(name: str, items: Iterable[Any], join: Callable[[list[Tensor]], Tensor]) -> tuple[Tensor, Tensor]:
    pairs = [item for item in items if isinstance(item, tuple | list) and len(item) == 2]
    if not pairs:
        raise DataError(
            f"{name} gives no (input, label) pairs", allowed="items of length 2", remedy="check the dataset"
        )
    inputs = join([torch.as_tensor(item[0]) for item in pairs])
    return inputs, join([torch.as_tensor(item[1]) for item in pairs])


def _classes(original: nn.Module, data: Mapping[str, Part]) -> int:
    """K of the model's logits. Raises ConfigError where it gives something else, or labels do not fit."""
    x, _ = next(iter(data["forget"].batches(2)))
    with torch.no_grad():
        logits = original(x)
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ConfigError("the model does not give logits", given=shape, allowed="[B, K]", remedy="wrap it")
    largest = max(int(part.labels.max()) for part in data.values())
    if largest >= logits.shape[1]:
        raise DataError(
            "a label is out of range", given=largest, allowed=f"0 to {logits.shape[1] - 1}", remedy="relabel"
        )
    return logits.shape[1]
