"""Forget sets of a command: kinds and their values, both of which may be grids.

`forget.NAME=VALUE` is of every kind of the sweep that has it, `forget.KIND.NAME=VALUE` of one kind, and wins.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from deepunlearn.config.arguments import FORGET, each, listed, parsed
from deepunlearn.config.known import names_of, no_such_option
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.forget import REQUESTS, ForgetSet, kind_of
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.validation import validate
from deepunlearn.forget.rounds import RoundsForget, rounds
from deepunlearn.plugin_code import digest
from deepunlearn.registry import Registered


class Setting(NamedTuple):
    """One value that a command, or a sweep file, sets of forget sets. kind: null: of all that have it."""

    override: str
    kind: str | None
    field: str  # dotted, of the kind's YAML
    from_file: bool

    def is_of(self, kind: str) -> bool:
        return self.kind == kind if self.kind else _first(self.field) in names_of("forget")[kind]


class Chosen(NamedTuple):
    """One forget set of a sweep. values: of a cell of a sweep file; overrides: for Hydra, one value each."""

    kind: str
    values: Mapping[str, Any]
    overrides: tuple[str, ...]

    def merged(self, composed: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the kind as composed, under those of the cell."""
        return {**composed, **self.values}


def kinds_of(overrides: Iterable[str]) -> list[str]:
    """The kinds that a sweep file's overrides name, the last time that they do; none where they do not."""
    named = [listed("forget", value) for key, value in map(parsed, overrides) if key == "forget"]
    return named[-1] if named else []


def is_forget(override: str) -> bool:
    """Whether it chooses or sets forget sets."""
    key = parsed(override)[0]
    return key == "forget" or key.startswith(FORGET)


def read_settings(overrides: Iterable[str], *, from_file: bool) -> list[Setting]:
    """Those of `overrides` that set values of forget sets, in their order."""
    return [_setting(override, from_file) for override in overrides if override.startswith(FORGET)]


def _setting(override: str, from_file: bool) -> Setting:
    field = parsed(override)[0].removeprefix(FORGET)
    first, _, rest = field.partition(".")
    if _first(rest) in names_of("forget").get(first, ()):
        return Setting(override, first, rest, from_file)
    return Setting(override, None, field, from_file)


def _first(field: str) -> str:
    return field.partition(".")[0]


def check_settings(settings: Iterable[Setting], kinds: Sequence[str], *, replaced: bool) -> None:
    """Raises ConfigError for a value that no kind of the sweep has. replaced: a command names others than the file."""
    for one in settings:
        if any(map(one.is_of, kinds)) or (replaced and one.from_file):
            continue
        key = parsed(one.override)[0]
        if one.kind is None:
            raise no_such_option(key, [f"forget={kinds[0]}"])
        raise ConfigError(
            f"{key} is of a forget set that is not chosen",
            given=f"{one.override} with forget={','.join(kinds)}",
            allowed=f"forget.KIND. with KIND one of {', '.join(kinds)}",
            remedy=f"leave {key} out, or add {one.kind} to forget=",
        )


def forget_sets(named: str | Mapping[str, Any], settings: Sequence[Setting]) -> Iterator[Chosen]:
    """Every combination of the values that a kind is given. named: a kind, or a sweep file's mapping with its name."""
    kind, values = _named(named)
    fields: dict[str, list[str]] = {}
    for one in sorted((one for one in settings if one.is_of(kind)), key=lambda one: one.kind is not None):
        if one.from_file and _first(one.field) in values:
            continue  # the cell is more particular
        values.pop(_first(one.field), None)
        fields[one.field] = [_override(one.field, single) for single in each(one.override)]
    for overrides in itertools.product(*fields.values()):
        yield Chosen(kind, values, overrides)


def _override(field: str, given: str) -> str:
    """For Hydra, which has to add what YAML files do not hold: names within a mapping, and what is said of requests."""
    add = "." in field or field in REQUESTS
    return f"{'++' if add else ''}{FORGET}{field}={parsed(given)[1]}"


def _named(named: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(named, str):
        named = {"name": named}
    kind, kinds = named.get("name"), names_of("forget")
    if kind not in kinds:
        raise unknown("forget", str(kind), kinds, remedy="give a name, or {name: NAME, VALUE: ...}, in the cell")
    values = {name: value for name, value in named.items() if name != "name"}
    for name in values:
        if name not in kinds[kind]:
            raise no_such_option(f"{FORGET}{name}", [f"forget={kind}"])
    return kind, values


def kinds_in(cells: Collection[str | Mapping[str, Any]]) -> list[str]:
    """The kinds among what cells name, each once."""
    return list(dict.fromkeys(_named(one)[0] for one in cells))


def forget_sets_of(values: dict[str, Any], registry: Mapping[str, Registered]) -> list[ForgetSet]:
    """The composed `values` as a forget set, or as one for each request where several arrive. Raises ConfigError."""
    asked = {name: values[name] for name in REQUESTS if values.get(name) is not None}
    own = {name: value for name, value in values.items() if name not in REQUESTS}
    return list(rounds(forget_set(own, registry), asked)) if asked else [forget_set(own, registry)]


def check_kept(sweep: SweepConfig) -> None:
    """Raises ConfigError where methods cannot go on from what the sweep keeps of their models."""
    going_on = [cell.forget for cell in sweep.cells if isinstance(cell.forget, RoundsForget) and cell.forget.rounds > 1]
    if going_on and sweep.keep != "weights":
        raise ConfigError(
            "of requests one after the other each round goes on from the weights of the models of the one before",
            given=f"keep={sweep.keep} with {going_on[0].rounds} requests",
            allowed="keep=weights",
            remedy="leave keep= out",
        )


def forget_set(values: dict[str, Any], registry: Mapping[str, Registered]) -> ForgetSet:
    """The composed `values` as a forget set, with where its code is. Raises ConfigError."""
    name = values["name"]
    module = registry[name].module
    code = None if module is None else digest([module])
    forget = validate(kind_of(name, module), {**values, "module": module, "code": code}, "forget")
    forget.check()
    return forget
