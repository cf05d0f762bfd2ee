"""Methods as configurations: single ones, masked ones and chains."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, get_args

from deepunlearn.config.arguments import resolved
from deepunlearn.config.composing import composed
from deepunlearn.config.known import default_value, no_such_setting
from deepunlearn.config.plugins import read
from deepunlearn.config.settings import Given, Setting, changes, settings_of, spelled
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.method_config import NOTHING, MaskConfig, Meta, MethodConfig
from deepunlearn.core.params import MASK_SHARES, MASK_THRESHOLD, ParamSpec
from deepunlearn.core.validation import validate
from deepunlearn.forget.bank import entries
from deepunlearn.plugin_code import digest
from deepunlearn.registry import Folders, Registered, registered

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


METAS: tuple[Meta, ...] = get_args(Meta)
EXAMPLES = {"chain": "chain.steps=[ct,ngplus]", "rum": "rum.steps=[none,ft,salun]"}


def method_configs(folders: Folders | None = None) -> dict[str, MethodConfig]:
    """All methods there are, by name, with those in `folders`; chains are made of them. Raises ConfigError."""
    registry = registered("method", folders)
    values = {name: read(one) for name, one in registry.items()}
    return {name: _by_default(name, one, registry) for name, one in values.items() if not _is_chain(one)}


def method_config(name: str, folders: Folders | None = None) -> MethodConfig:
    """One of `method_configs`, without reading all others. Raises ConfigError."""
    registry = registered("method", folders)
    if name not in registry or _is_chain(values := read(registry[name])):
        raise unknown("method", name, method_configs(folders))
    return _by_default(name, values, registry)


def _is_chain(values: Mapping[str, Any]) -> bool:
    return "steps" in values and values.get("meta") != "rum"


def _by_default(name: str, values: dict[str, Any], registry: dict[str, Registered]) -> MethodConfig:
    """A method as its YAML says, without a command; `rum` with the steps that it has by default."""
    if "steps" not in values:
        return _single(registry[name], values)
    steps = default_value("rum")
    made = _of_steps({**values, **steps}, lambda step: read(registry[step]), (), registry)
    return _valid(made, steps["steps"], registry)


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
        if wrong := next((one for one in own if one.field != "steps"), None):
            raise no_such_setting(wrong.key, wrong.field, name, given.methods)
        values = _of_steps(values, partial(_composed_step, given.shared), given.steps, registry)
        method = _valid(values, values["steps"], registry)
        if method.bank is not None:
            entries(method.bank, method.bank_option)
        changed = [spelled(f"{method.meta}.{param}", value) for param, value in method.fixed.items()]
    else:
        _check_params(values, own)
        changed = changes(_single(registry[name], read(registry[name])), _valid(values, [name], registry), own)
        method = _valid(_with_mask(values), [name], registry)
    return method.model_copy(update={"changed": tuple(sorted(changed))})


def _composed_step(shared: Sequence[str], name: str) -> dict[str, Any]:
    """The YAML of a step under what a command says of all."""
    step: dict[str, Any] = composed([f"method={name}", *shared])["method"]
    return step


def _valid(values: dict[str, Any], used: Iterable[str], registry: dict[str, Registered]) -> MethodConfig:
    """A composed method; used: the names of those it is made of."""
    own = (registry[name] for name in dict.fromkeys(used) if name != NOTHING)
    return validate(MethodConfig, {**values, **_code_of(own)}, "method")


def typed_values(
    hparams: dict[str, Any], chosen: Sequence[MethodConfig], registry: dict[str, Registered], whose: str
) -> dict[str, dict[str, Any]]:
    """`hparams=FILE` with each value in its hyper-parameter's type, as it identifies results; others as they stand.

    whose: hparams=FILE. Raises ConfigError for what a chosen method cannot take.
    """
    if not hparams:
        return {}
    by_name = {method.name: method for method in chosen}
    for entry, values in hparams.items():
        if method := by_name.get(entry.rpartition("/")[2]):
            _check_entry(method, values, f"the entry {entry} of {whose}")
    singles = {name: values for name, one in registry.items() if not _is_chain(values := read(one))}
    known = {name: _by_default(name, values, registry) for name, values in singles.items()}
    known.update(by_name)
    return {
        entry: {param: _typed(known.get(entry.rpartition("/")[2]), param, value) for param, value in values.items()}
        for entry, values in hparams.items()
    }


def _check_entry(method: MethodConfig, values: dict[str, Any], where: str) -> None:
    try:
        method.complete(values)
    except ConfigError as error:
        raise ConfigError(
            f"{error.problem}, in {where}", given=error.given, allowed=error.allowed, remedy=f"correct {where}"
        ) from None


def _typed(method: MethodConfig | None, param: str, value: Any) -> Any:
    """What cannot be typed is of no method that is chosen."""
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


def _of_steps(
    values: dict[str, Any],
    read_step: Callable[[str], dict[str, Any]],
    settings: Iterable[str],
    registry: dict[str, Registered],
) -> dict[str, Any]:
    """A method that is made of methods, with their hyper-parameters, the step's number before them: 0.lr, 1.epochs.

    settings: of a command, chain.0.lr=0.01.
    """
    meta, names = values.get("meta", "chain"), values["steps"]
    _check_names(meta, names, registry)
    steps = {index: read_step(name) for index, name in enumerate(names) if meta != "rum" or name != NOTHING}
    _check_steps(meta, names, list(steps.values()), registry)
    numbered = [(index, _with_mask(_with_defaults(step, values))) for index, step in steps.items()]
    space = {
        f"{index}.{name}": _numbered(spec, index) for index, step in numbered for name, spec in step["space"].items()
    }
    several = [step for _, step in numbered]
    made = _refined(values, names, several) if meta == "rum" else _chained(names, several)
    return {
        **made,
        "epoch_cost": sum(step["epoch_cost"] for step in several) / len(several),
        "call_cost": sum(step.get("call_cost", 0.0) for step in several),
        "space": space,
        "params": _of_step_settings(meta, settings, space),
        "meta": meta,
        "steps": names,
    }


def _chained(names: list[str], steps: list[dict[str, Any]]) -> dict[str, Any]:
    """What a chain is called, and what it reads and needs."""
    return {
        "name": "-".join(names),
        "version": int("".join(str(step["version"]) for step in steps)),
        "title": " + ".join(step["title"] for step in steps),
        "paper": "; ".join(step["paper"] for step in steps),
        "reads": sorted({part for step in steps for part in step["reads"]}),
        "needs": next((step["needs"] for step in steps if step.get("needs")), None),
    }


def _refined(values: dict[str, Any], names: list[str], steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The same of rum: it has the name of its YAML with the default steps alone."""
    usual = names == default_value("rum")["steps"]
    titles = iter(step["title"] for step in steps)
    told = ", ".join(NOTHING if name == NOTHING else next(titles) for name in names)
    return {
        **{name: values[name] for name in ("full_name", "paper", "needs", "bank")},
        "contract": values["contract"] if usual else {},
        "name": values["name"] if usual else "-".join([values["name"], *names]),
        "version": int("".join(str(one["version"]) for one in (values, *steps))),
        "title": values["title"] if usual else f"{values['title']} ({told})",
        "reads": sorted({"retain", "forget", *(part for step in steps for part in step["reads"])}),
    }


def _with_defaults(step: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A step with the default values that the YAML of what it is a step of says for its method."""
    own = values.get("values", {}).get(step["name"], {})
    return {**step, "space": {name: {**spec, **({"default": own[name]} if name in own else {})}
                              for name, spec in step["space"].items()}}  # fmt: skip


def _of_step_settings(meta: str, settings: Iterable[str], space: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a command gives to hyper-parameters of steps."""
    params = {}
    for setting in (one for one in settings if one.startswith(f"{meta}.")):
        key = setting.removeprefix(f"{meta}.").partition("=")[0]
        if key not in space:
            raise unknown("option", f"{meta}.{key}", [f"{meta}.{name}" for name in space])
        params[key] = resolved(setting)
    return params


def _check_names(meta: str, names: Any, registry: dict[str, Registered]) -> None:
    """Raises ConfigError unless the steps are a list of methods that there are."""
    known = [name for name in registry if name not in METAS] + ([NOTHING] if meta == "rum" else [])
    if not isinstance(names, list) or len(names) < 2 or set(names) == {NOTHING}:
        raise ConfigError(
            f"{meta} needs a list of at least two steps" + (", one of them a method" if meta == "rum" else ""),
            given=f"{meta}.steps={names}",
            allowed=f"a list of {', '.join(known)}",
            remedy=f"give {EXAMPLES[meta]}",
        )
    for name in names:
        if name not in known and name not in METAS:
            raise unknown("method", name, known)


def _check_steps(meta: str, names: list[str], steps: list[dict[str, Any]], registry: dict[str, Registered]) -> None:
    """Raises ConfigError for methods that are no steps, and for steps that do not go together."""
    if any("steps" in step for step in steps):
        raise ConfigError(
            f"a method that is made of methods cannot be a step of {meta}",
            given=str(names),
            allowed=", ".join(name for name in registry if name not in METAS),
            remedy=f"list the methods themselves: {EXAMPLES[meta]}",
        )
    needs = {step["needs"] for step in steps if step.get("needs")}
    if meta == "rum" and needs:
        raise ConfigError(
            "a method that needs a record of the original's training cannot be a step of rum",
            given=str(names),
            allowed="methods without needs: in their YAML, as a record is of the whole forget set, not of a part",
            remedy="run it by itself, or as a step of a chain",
        )
    if "shards" in needs:
        raise ConfigError(
            "a method with an ensemble in place of the original cannot be a step of a chain",
            given=str(names),
            allowed="methods that unlearn from the original",
            remedy="run it by itself: method=sisa",
        )
    if len(needs) > 1:
        raise ConfigError(
            "the steps of this chain need different records of the original's training",
            given=", ".join(sorted(needs)),
            allowed="steps with the same needs:",
            remedy="choose other steps",
        )


def _numbered(spec: dict[str, Any], index: int) -> dict[str, Any]:
    """A step's parameter whose range names other parameters of the same step."""
    if spec.get("between") is None:
        return spec
    ends = [re.sub(r"[a-z]\w*", lambda name: _own(name.group(), index), str(end)) for end in spec["between"]]
    return {**spec, "between": [int(end) if end.isdigit() else end for end in ends]}


def _own(name: str, index: int) -> str:
    return name if name == "blocks" else f"{index}.{name}"
