"""Weights from a file: what training starts from. Tensors only; nothing in a file is ever executed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.errors import ConfigError, NotApplicable

WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which training scripts keep a network's tensors
LEFT = ", except in its head"
NAMED = "where the head is not recognised, name it with arch.parts.head="
CLASSES = "and the dataset with as many classes as the head has"
PREFIXES = ("module.", "_orig_mod.")  # of networks that were parallel or compiled


def load_start(arch: ArchConfig, model: nn.Module, anatomy: Anatomy) -> tuple[str, ...]:
    """Fill `model` from `arch.weights`; the names of the head's tensors that were left as they are.

    That is all of the head where the file has another number of classes, or none. Raises ConfigError where anything
    else does not fit, or the file is not the one that the configuration was read with.
    """
    assert arch.weights is not None
    state = _read(arch.weights, arch.weights_digest)
    wanted = model.state_dict()
    head = _head(model, anatomy)
    left = head if any(_differs(name, state, wanted) for name in head) else ()
    fitting = {name: state[name] for name in state if name not in left}
    _check(arch.weights, fitting, {name: value for name, value in wanted.items() if name not in left})
    if not any(value.is_meta for value in wanted.values()):  # there nothing but names and shapes can be looked at
        model.load_state_dict(fitting, strict=False)  # without the head, where that is left
    return left


def load_trained(path: str, digest: str, model: nn.Module) -> None:
    """Fill all of `model` from a file that holds a trained network. Raises ConfigError as `load_start`, for heads too.

    The types of numbers may differ, as 16 and 32 bits do.
    """
    state = _read(path, digest)
    _check(path, state, model.state_dict(), head=True)
    model.load_state_dict(state)


def _head(model: nn.Module, anatomy: Anatomy) -> tuple[str, ...]:
    try:
        inside = {id(parameter) for parameter in anatomy.head.parameters()}
    except NotApplicable:
        return ()
    return tuple(name for name, parameter in model.named_parameters() if id(parameter) in inside)


def _differs(name: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    return name not in state or state[name].shape != wanted[name].shape


def _check(path: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, head: bool = False) -> None:
    """head: whether the head has to fit, too."""
    missing, surplus = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    other = [
        f"{name}: {list(state[name].shape)} instead of {list(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    whole = [name for name, value in wanted.items() if name in state and _is_whole(state[name]) != _is_whole(value)]
    differences = {
        "not in the file": missing,
        "not in the network": surplus,
        "of another shape": other,
        "of another kind of numbers": whole,
    }
    wrong = [f"{len(names)} {what} ({', '.join(names[:3])})" for what, names in differences.items() if names]
    if wrong:
        raise ConfigError(
            f"the weights in {Path(path).name} are not those of this network",
            given="; ".join(wrong),
            allowed="a tensor of the same name and shape for each of the network's" + ("" if head else LEFT),
            remedy=f"choose the network that the file was made from: arch.model=, arch.args., dataset.image_size=; "
            f"{CLASSES if head else NAMED}",
        )


def _is_whole(tensor: Tensor) -> bool:
    """Whether it holds no fractions, e.g. of a quantised network."""
    return not tensor.is_floating_point()


@lru_cache(maxsize=1)
def _read(path: str, expected: str | None) -> dict[str, Tensor]:
    """The tensors of a file by name; kept, since every model of a sweep starts from it."""
    file = Path(path)
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if expected is not None and not digest.startswith(expected):
        raise ConfigError(
            f"the file of weights {path} was changed after the command began",
            given=f"sha256 {digest[:16]}",
            allowed=f"the file as it was when the command began, sha256 {expected}",
            remedy="run the command again; results from the file as it was are kept",
        )
    return _unwrapped(_tensors(file), path)


def _tensors(file: Path) -> Any:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise _unreadable(file, (str(error).splitlines() or [type(error).__name__])[0][:200]) from None
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":
            raise
        raise _unreadable(file, "something other than tensors, which is never executed") from None


def _unreadable(file: Path, given: str) -> ConfigError:
    return ConfigError(
        f"the file of weights {file.name} cannot be read",
        given=given,
        allowed="a safetensors file, or what torch.save wrote of a state dict: tensors, no other objects",
        remedy="load it where you trust it, and save only the tensors: torch.save(model.state_dict(), FILE)",
    )


def _unwrapped(content: Any, path: str) -> dict[str, Tensor]:
    while isinstance(content, Mapping) and (inner := next((name for name in WRAPPERS if name in content), None)):
        content = content[inner]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise _unreadable(Path(path), "something else than tensors by name")
    return {_plain(str(name)): value for name, value in content.items()}


def _plain(name: str) -> str:
    while start := next((prefix for prefix in PREFIXES if name.startswith(prefix)), None):
        name = name.removeprefix(start)
    return name
