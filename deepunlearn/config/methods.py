"""Methods as configurations: single ones, masked ones and chains."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from deepunlearn.config.arguments import resolved
from deepunlearn.config.composing import composed
from deepunlearn.config.plugins import read
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.method_config import MaskConfig, MethodConfig
from deepunlearn.core.params import MASK_THRESHOLD
from deepunlearn.core.validation import validate
from deepunlearn.registry import Folders, Registered, digest, registered

MASK_SPEC = {
    "type": "float",
    "default": 0.5,
    "low": 0.0,
    "high": 1.0,
    "gt": 0,
    "le": 1,
    "help": "fraction of all weights that may move, by the gradient on the forget set",
}


def method_configs(folders: Folders | None = None) -> dict[str, MethodConfig]:
    """All methods there are, by name, with those in `folders`; chains are made of them. Raises ConfigError."""
    found = registered("method", folders)
    values = {name: read(one) for name, one in found.items()}
    return {name: _single(found[name], one) for name, one in values.items() if "steps" not in one}


def method_config(name: str, folders: Folders | None = None) -> MethodConfig:
    """One of `method_configs`, without reading the others. Raises ConfigError."""
    found = registered("method", folders)
    values = read(found[name]) if name in found else {"steps": ()}
    if "steps" in values:
        raise unknown("method", name, method_configs(folders))
    return _single(found[name], values)


def _single(found: Registered, values: dict[str, Any]) -> MethodConfig:
    return validate(MethodConfig, {**values, **_code_of([found])}, f"method {found.name}.yaml")


def _code_of(found: Iterable[Registered]) -> dict[str, Any]:
    """What a configuration says of the code of methods that are not ours."""
    modules = {one.name: one.module for one in found if one.module is not None}
    return {"modules": modules, "code": digest(modules.values())}


def compose_method(
    name: str, shared: list[str], ours: list[str], steps: list[str], found: dict[str, Registered]
) -> MethodConfig:
    if name not in found:
        raise unknown("method", name, found)
    values = composed([f"method={name}", *shared, *ours])["method"]
    used = [name]
    if "steps" in values:
        used = values["steps"]
        values = _chained(values, shared, steps, found)
    values = _with_mask(values)
    settings = [*ours, *(steps if "steps" in values else [])]
    changed = tuple(sorted(override.removeprefix("method.") for override in settings if not override.endswith("=null")))
    code = _code_of(found[one] for one in dict.fromkeys(used))
    method = validate(MethodConfig, {**values, **code, "changed": changed}, "method")
    assert method.fixed is not None  # typed now, so that a bad value is refused before anything runs
    return method


def _with_mask(values: dict[str, Any]) -> dict[str, Any]:
    """A mask's threshold is a hyper-parameter of the method like any other."""
    if values.get("mask") is None:
        return values
    mask = validate(MaskConfig, values["mask"], "method.mask")
    if mask.threshold is None and not mask.search:
        return values
    spec = {**MASK_SPEC, "default": mask.threshold or MASK_SPEC["default"], "searched": mask.search}
    return {
        **values,
        "reads": sorted({*values["reads"], "forget"}),
        "space": {**values["space"], MASK_THRESHOLD: spec},
        "params": {**values["params"], MASK_THRESHOLD: None if mask.search else mask.threshold},
    }


def _chained(
    values: dict[str, Any], shared: list[str], settings: list[str], found: dict[str, Registered]
) -> dict[str, Any]:
    """A chain's hyper-parameters are those of its steps, with the step's number before them: 0.lr, 1.epochs."""
    names = values["steps"]
    if not isinstance(names, list) or len(names) < 2:
        raise ConfigError(
            "a chain needs a list of at least two steps",
            given=f"chain.steps={names}",
            allowed=f"a list of {', '.join(name for name in found if name != 'chain')}",
            remedy="give chain.steps=[ct,ngplus]",
        )
    for name in names:
        if name not in found:
            raise unknown("method", name, found)
    steps = [composed([f"method={name}", *shared])["method"] for name in names]
    if any("steps" in step for step in steps):
        raise ConfigError(
            "a chain cannot be a step of a chain",
            given=str(names),
            allowed=", ".join(name for name in found if name != "chain"),
            remedy="list the methods themselves: chain.steps=[ct,ngplus]",
        )
    numbered = list(enumerate(_with_mask(step) for step in steps))
    params = {f"{index}.{name}": None for index, step in numbered for name in step["params"]}
    for setting in settings:
        key = setting.removeprefix("chain.").partition("=")[0]
        if key not in params:
            raise unknown("option", f"chain.{key}", [f"chain.{name}" for name in params])
        params[key] = resolved(setting)
    return {
        "name": "-".join(names),
        "version": int("".join(str(step["version"]) for step in steps)),
        "title": " + ".join(step["title"] for step in steps),
        "paper": "; ".join(step["paper"] for step in steps),
        "reads": sorted({part for step in steps for part in step["reads"]}),
        "epoch_cost": sum(step["epoch_cost"] for step in steps) / len(steps),
        "space": {
            f"{index}.{name}": _numbered(spec, index)
            for index, step in numbered
            for name, spec in step["space"].items()
        },
        "params": params,
        "steps": names,
    }


def _numbered(spec: dict[str, Any], index: int) -> dict[str, Any]:
    """A step's parameter whose range names other parameters of the same step."""
    if spec.get("between") is None:
        return spec
    ends = [re.sub(r"[a-z]\w*", lambda name: _own(name.group(), index), str(end)) for end in spec["between"]]
    return {**spec, "between": [int(end) if end.isdigit() else end for end in ends]}


def _own(name: str, index: int) -> str:
    return name if name == "blocks" else f"{index}.{name}"
