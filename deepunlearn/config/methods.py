"""Methods as configurations: single ones, masked ones and chains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from deepunlearn.config.arguments import resolved
from deepunlearn.config.composing import composed
from deepunlearn.config.plugins import read
from deepunlearn.config.settings import Given, Setting, changes, settings_of, spelled
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.method_config import MaskConfig, MethodConfig
from deepunlearn.core.params import MASK_SHARES, MASK_THRESHOLD, ParamSpec
from deepunlearn.core.validation import validate
from deepunlearn.registry import Folders, Registered, digest, registered

SHARE = {"type": "float", "low": 0.0, "high": 1.0, "le": 1}
DEPTH = {"type": "float", "low": 0.25, "high": 4.0, "log": True, "gt": 0}
MASK_SPECS: dict[str, dict[str, Any]] = {
    MASK_THRESHOLD: {
        **SHARE,
        "gt": 0,
        "default": 0.5,
        "help": "fraction of all weights that may move, by the gradient on the forget set",
    },
    MASK_SHARES[0]: {**SHARE, "ge": 0, "default": 0.1, "help": "share of the first layer's weights that may move"},
    MASK_SHARES[1]: {**SHARE, "ge": 0, "default": 1.0, "help": "share of the last layer's weights that may move"},
    MASK_SHARES[2]: {**DEPTH, "default": 1.0, "help": "power of the depth by which the share goes between them"},
}


def method_configs(folders: Folders | None = None) -> dict[str, MethodConfig]:
    """All methods there are, by name, with those in `folders`; chains are made of them. Raises ConfigError."""
    registry = registered("method", folders)
    values = {name: read(one) for name, one in registry.items()}
    return {name: _single(registry[name], one) for name, one in values.items() if "steps" not in one}


def method_config(name: str, folders: Folders | None = None) -> MethodConfig:
    """One of `method_configs`, without reading the others. Raises ConfigError."""
    registry = registered("method", folders)
    values = read(registry[name]) if name in registry else {"steps": ()}
    if "steps" in values:
        raise unknown("method", name, method_configs(folders))
    return _single(registry[name], values)


def _single(entry: Registered, values: dict[str, Any]) -> MethodConfig:
    return validate(MethodConfig, {**values, **_code_of([entry])}, f"method {entry.name}.yaml")


def _code_of(entries: Iterable[Registered]) -> dict[str, Any]:
    """What a configuration says of the code of methods that are not ours."""
    modules = {one.name: one.module for one in entries if one.module is not None}
    return {"modules": modules, "code": digest(modules.values())}


def compose_method(
    name: str, given: Given, registry: dict[str, Registered], at_once: dict[str, Any] | None = None
) -> MethodConfig:
    """One method of a command, under the settings of all its methods and the method's own. Raises ConfigError.

    at_once: the whole command's values, where they were composed for this method.
    """
    if name not in registry:
        raise unknown("method", name, registry)
    own = settings_of(name, given.settings, given.methods)
    values = (at_once or composed([f"method={name}", *given.shared, *(one.override for one in own)]))["method"]
    if "steps" in values:
        values = _chained(values, given, registry)
        method = _valid(values, values["steps"], registry)
        changed = [spelled(f"chain.{param}", value) for param, value in method.fixed.items()]
    else:
        _check_params(values, own)
        changed = changes(_single(registry[name], read(registry[name])), _valid(values, [name], registry), own)
        method = _valid(_with_mask(values), [name], registry)
    return method.model_copy(update={"changed": tuple(sorted(changed))})


def _valid(values: dict[str, Any], used: Iterable[str], registry: dict[str, Registered]) -> MethodConfig:
    """A composed method; used: the names of those it is made of."""
    return validate(MethodConfig, {**values, **_code_of(registry[name] for name in dict.fromkeys(used))}, "method")


def typed_values(
    hparams: dict[str, Any], chosen: Iterable[MethodConfig], registry: dict[str, Registered]
) -> dict[str, dict[str, Any]]:
    """`hparams=FILE` with each value in its hyper-parameter's type, as it identifies results; others as they stand."""
    if not hparams:
        return {}
    singles = {name: values for name, one in registry.items() if "steps" not in (values := read(one))}
    known = {name: _single(registry[name], values) for name, values in singles.items()}
    known.update((method.name, method) for method in chosen)
    return {
        entry: {param: _typed(known.get(entry.rpartition("/")[2]), param, value) for param, value in values.items()}
        for entry, values in hparams.items()
    }


def _typed(method: MethodConfig | None, param: str, value: Any) -> Any:
    """What cannot be typed is refused with the cell and method that would use it."""
    if method is None or param not in method.space:
        return value
    try:
        return method.space[param].typed(param, value)
    except ConfigError:
        return value


def _check_params(values: dict[str, Any], settings: Sequence[Setting]) -> None:
    """Raises ConfigError for a hyper-parameter that does not exist or cannot be what it is set to.

    It is named as the last setting of it was written.
    """
    written = {one.field: one.key for one in settings}
    for name, value in values.get("params", {}).items():
        key = written.get(f"params.{name}", f"{written.get('params', 'method.params')}.{name}")
        if name not in values["space"]:
            raise unknown("option", key, [f"{key.removesuffix(name)}{one}" for one in values["space"]])
        if value is not None:
            spec = validate(ParamSpec, values["space"][name], f"method.space.{name}")
            spec.typed(key, value)


def _with_mask(values: dict[str, Any]) -> dict[str, Any]:
    """What a mask depends on is a hyper-parameter of the method like any other."""
    if values.get("mask") is None:
        return values
    mask = validate(MaskConfig, values["mask"], "method.mask")
    if mask.kind == "layerwise":
        return _masked(values, mask.search, mask.shares)
    if mask.threshold is None and not mask.search:
        return values
    masked = _masked(values, mask.search, {MASK_THRESHOLD: mask.threshold})
    fixed = {MASK_THRESHOLD: None if mask.search else mask.threshold}  # searched from the one that is given
    return {**masked, "reads": sorted({*values["reads"], "forget"}), "params": {**masked["params"], **fixed}}


def _masked(values: dict[str, Any], search: bool, given: dict[str, float | None]) -> dict[str, Any]:
    """A method with these hyper-parameters of a mask, with those values where they are given."""
    specs = {
        name: {**MASK_SPECS[name], **({} if value is None else {"default": value}), "searched": search}
        for name, value in given.items()
    }
    fixed = given if search else {name: spec["default"] for name, spec in specs.items()}
    return {**values, "space": {**values["space"], **specs}, "params": {**values.get("params", {}), **fixed}}


def _chained(values: dict[str, Any], given: Given, registry: dict[str, Registered]) -> dict[str, Any]:
    """A chain's hyper-parameters are those of its steps, with the step's number before them: 0.lr, 1.epochs."""
    names = values["steps"]
    if not isinstance(names, list) or len(names) < 2:
        raise ConfigError(
            "a chain needs a list of at least two steps",
            given=f"chain.steps={names}",
            allowed=f"a list of {', '.join(name for name in registry if name != 'chain')}",
            remedy="give chain.steps=[ct,ngplus]",
        )
    for name in names:
        if name not in registry:
            raise unknown("method", name, registry)
    steps = [composed([f"method={name}", *given.shared])["method"] for name in names]
    if any("steps" in step for step in steps):
        raise ConfigError(
            "a chain cannot be a step of a chain",
            given=str(names),
            allowed=", ".join(name for name in registry if name != "chain"),
            remedy="list the methods themselves: chain.steps=[ct,ngplus]",
        )
    if "shards" in [step.get("needs") for step in steps]:
        raise ConfigError(
            "a method with an ensemble in place of the original cannot be a step of a chain",
            given=str(names),
            allowed="methods that unlearn from the original",
            remedy="run it by itself: method=sisa",
        )
    if len(needs := {step["needs"] for step in steps if step.get("needs")}) > 1:
        raise ConfigError(
            "the steps of this chain need different records of the original's training",
            given=", ".join(sorted(needs)),
            allowed="steps with the same needs:",
            remedy="choose other steps",
        )
    numbered = list(enumerate(_with_mask(step) for step in steps))
    space = {
        f"{index}.{name}": _numbered(spec, index) for index, step in numbered for name, spec in step["space"].items()
    }
    params = {}
    for setting in given.steps:
        key = setting.removeprefix("chain.").partition("=")[0]
        if key not in space:
            raise unknown("option", f"chain.{key}", [f"chain.{name}" for name in space])
        params[key] = resolved(setting)
    return {
        "name": "-".join(names),
        "version": int("".join(str(step["version"]) for step in steps)),
        "title": " + ".join(step["title"] for step in steps),
        "paper": "; ".join(step["paper"] for step in steps),
        "reads": sorted({part for step in steps for part in step["reads"]}),
        "needs": next(iter(needs), None),
        "epoch_cost": sum(step["epoch_cost"] for step in steps) / len(steps),
        "space": space,
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
