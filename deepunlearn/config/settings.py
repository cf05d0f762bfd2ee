"""What a command sets of methods: `method.params.lr=0.01` of all in the sweep, `method.msg.params.lr=0.01` of one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from deepunlearn.config.arguments import named_by_choice, parsed
from deepunlearn.config.known import names_of, no_such_setting
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import MASK_OPTIONS

GROUP = "method."
FIELDS = set(MethodConfig.model_fields) - {"changed", "modules", "code"}  # of a method's YAML
COUNTED_ELSEWHERE = ("name", "steps", "params", "changed", "modules", "code")  # of a result set, or not set by hand


class Setting(NamedTuple):
    """One option of methods. field: its place in the YAML, e.g. params.init_rate; method: null of all in the sweep."""

    key: str
    method: str | None
    field: str
    value: str

    @property
    def override(self) -> str:
        """For Hydra, which has to add what YAML files do not hold: the values that a command fixes, parts of a mask."""
        add = "++" if self.field.partition(".")[0] == "params" or self.field in MASK_OPTIONS else ""
        return f"{add}{GROUP}{self.field}={self.value}"


class Given(NamedTuple):
    """What a command says of its methods. shared: other options; steps: values of steps, chain.0.lr=0.01."""

    methods: list[str]
    shared: list[str]
    settings: list[Setting]
    steps: list[str]


def read_settings(overrides: Iterable[str], methods: Collection[str]) -> list[Setting]:
    """Those of `overrides` that are of methods, in their order. Raises ConfigError for a method that does not exist."""
    return [_setting(*parsed(override), methods) for override in overrides if override.startswith(GROUP)]


def _setting(key: str, value: str, methods: Collection[str]) -> Setting:
    first, _, rest = key.removeprefix(GROUP).partition(".")
    if first in FIELDS or (first not in methods and rest.partition(".")[0] not in FIELDS):
        return Setting(key, None, key.removeprefix(GROUP), value)
    if first not in methods:
        raise unknown("method", first, methods)
    if rest == "name":
        raise named_by_choice("method", key, value)
    return Setting(key, first, rest, value)


def without(overrides: Iterable[str], methods: Collection[str]) -> list[str]:
    """`overrides` of a sweep file but for those of these methods alone, in whose place a command names others."""
    alone = tuple(f"{GROUP}{method}." for method in methods if method not in FIELDS)
    return [override for override in overrides if not override.startswith(alone)]


def check_methods(settings: Iterable[Setting], sweep: Sequence[str], steps: Mapping[str, Sequence[str]]) -> None:
    """Raises ConfigError for a setting of a method that is not in the sweep; steps: those of its chain, and of rum."""
    for one in settings:
        if one.method is None or one.method in sweep:
            continue
        name = one.field.rpartition(".")[2]
        within = ((meta, names.index(one.method)) for meta, names in steps.items() if one.method in names)
        step = next((f"write {meta}.{index}.{name}=VALUE" for meta, index in within), None)
        raise ConfigError(
            f"{one.key} is of a method that is not chosen",
            given=f"{one.key}={one.value} with method={','.join(sweep)}",
            allowed=f"method.NAME. with NAME one of {', '.join(sweep)}",
            remedy=f"leave {one.key} out, or {step or f'add {one.method} to method='}",
        )


def settings_of(method: str, settings: Sequence[Setting], sweep: Sequence[str]) -> list[Setting]:
    """The settings that `method` takes: of all methods first, so that its own win. Raises ConfigError for unknown ones.

    sweep: all methods of the command.
    """
    fields = names_of("method")[method]
    own = [one for chosen in (None, method) for one in settings if one.method == chosen]
    for one in own:
        if one.field not in fields:
            raise no_such_setting(one.key, one.field, method, sweep)
    return own


def changes(before: MethodConfig, after: MethodConfig, settings: Sequence[Setting]) -> list[str]:
    """What `settings` make of a method's YAML, for telling result sets apart: FIELD=VALUE, in one spelling of each."""
    fixed = {f"params.{name}": value for name, value in after.fixed.items()}
    old, new = dict(_leaves(_plain(before))), {**dict(_leaves(_plain(after))), **fixed}
    set_by_hand = tuple(f"{one.field}." for one in settings)
    return [
        spelled(field, value)
        for field, value in new.items()
        if f"{field}.".startswith(set_by_hand) and (field not in old or old[field] != value)
    ]


def spelled(field: str, value: Any) -> str:
    """`params.lr=0.01`, however the value was written: 0.010, 1e-2 or "0.01"."""
    return f"{field}={_text(value)}"


def _plain(method: MethodConfig) -> dict[str, Any]:
    return method.model_dump(exclude=set(COUNTED_ELSEWHERE))


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, float):
        return re.sub(r"e([+-])0+", r"e\1", repr(value)).removesuffix(".0")
    return str(value)
