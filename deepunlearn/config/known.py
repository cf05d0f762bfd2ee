"""Which options there are, of which choice of a group, and what a name that is none of them may have meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore

from deepunlearn.config.files import GROUPS, options, read_yaml
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import REQUESTS
from deepunlearn.core.params import MASK_OPTIONS
from deepunlearn.core.paths import shipped

OPEN = "extra"  # launcher.extra.NAME: conf/ knows no such names
Names = dict[str, list[str]]  # choice of a group -> its options, dotted, without the group's name


def no_such_option(name: str, overrides: Iterable[str]) -> ConfigError:
    """The refusal of an option that does not exist under these choices."""
    chosen = _chosen(overrides)
    group, _, field = name.partition(".")
    if group not in GROUPS or not field:
        return _refusal(name, _top_level(), nearest(name), chosen)
    names = names_of(group)
    choice = chosen[group]
    owners = _owners(field, names)
    if owners and choice not in owners:
        instead = f"add {group}={owners[0]}{', or another of these' if len(owners) > 1 else ''}"
        return _of_another_choice(name, group, field, choice, instead)
    near = _near(field, choice, names)
    beside = _beside(field, names.get(choice, []))
    return _refusal(name, [f"{group}.{one}" for one in beside], [f"{group}.{one}" for one in near], chosen)


def no_such_setting(name: str, field: str, method: str, sweep: Sequence[str]) -> ConfigError:
    """The refusal of `name`, which sets a `field` that `method` does not have; sweep: the methods of this command."""
    names = names_of("method")
    owners = _owners(field, names)
    if "steps" in names[method] and owners:
        return _of_a_step(name, field, method)
    if owners and method not in owners:
        here = [one for one in owners if one in sweep]
        alone = f"write method.{here[0]}.{field}=VALUE for {here[0]} alone" if here else f"add method={owners[0]}"
        more = ", or another of these" if len(owners) > 1 and not here else ""
        return _of_another_choice(name, "method", field, method, f"{alone}{more}")
    prefix = name.removesuffix(field)
    near = [f"{prefix}{one}" for one in _near(field, method, names)]
    return _refusal(name, [f"{prefix}{one}" for one in _beside(field, names[method])], near, {"method": method})


def _owners(field: str, names: Names) -> list[str]:
    return [choice for choice, fields in names.items() if field in fields or _open(field) in fields]


def _near(field: str, choice: str, names: Names) -> list[str]:
    others = [one for fields in names.values() for one in fields]
    return get_close_matches(field, names.get(choice, []), n=1) or get_close_matches(field, others, n=1)


def _of_another_choice(name: str, group: str, field: str, choice: str, instead: str) -> ConfigError:
    names = names_of(group)
    return ConfigError(
        f"{name} is an option of {group}={'|'.join(_owners(field, names))}, not of {group}={choice}",
        given=name,
        allowed=", ".join(f"{group}.{one}" for one in _beside(field, names.get(choice, []))) or f"no {group}. options",
        remedy=f"leave {name} out, or {instead}",
    )


def _of_a_step(name: str, field: str, method: str) -> ConfigError:
    """Steps take hyper-parameters; their masks, ranges and the rest are those of the method's YAML."""
    kind, _, parameter = field.partition(".")
    meta, number, words = ("rum", 1, "rum") if method == "rum" else ("chain", 0, "a chain")
    step = f"give e.g. {meta}.{number}.{parameter}=VALUE"
    return ConfigError(
        f"{name} is an option of a single method, not of {words}",
        given=name,
        allowed=f"{meta}.NUMBER.NAME: a hyper-parameter of a step, numbered from 0",
        remedy=step if kind == "params" else f"leave {name} out, or run the method alone, not as a step",
    )


def _refusal(name: str, known: list[str], near: list[str], chosen: dict[str, str]) -> ConfigError:
    suggestions = [f"{one!r}{_of_choice(one, chosen)}" for one in near]
    return ConfigError(
        f"unknown option {name!r}",
        given=name,
        allowed=", ".join(sorted(known)) or "(none)",
        remedy=f"did you mean {' or '.join(suggestions)}?" if near else "give one of the options that are allowed",
    )


def _of_choice(name: str, chosen: dict[str, str]) -> str:
    """Behind a suggestion: which choice of its group has it, where the one that is made has not."""
    group, _, field = name.partition(".")
    if group not in GROUPS:
        return ""
    owners = [choice for choice, fields in names_of(group).items() if field.removeprefix(f"{choice}.") in fields]
    return "" if chosen[group] in owners else f" (of {group}={'|'.join(owners)})"


def _open(field: str) -> str:
    """The mapping that takes names of SLURM's, `extra`, if `field` stands in it."""
    return OPEN if field.startswith(f"{OPEN}.") else field


# ------------------------------------------------------------------------------------------------------- what there is


def names_of(group: str) -> Names:
    """The options of each choice of a group; methods of one's own included."""
    shipped_names = {choice: list(_dotted(_shipped(group, choice))) for choice in options(group)}
    registered: dict[str, Any] = ConfigStore.instance().repo.get(group, {})
    own = {file.removesuffix(".yaml"): list(_dotted(entry.node)) for file, entry in registered.items()}
    every = REQUESTS if group == "forget" else ()
    return {
        choice: [*names, *_params(names), *_masks(names), *(one for one in every if one not in names)]
        for choice, names in {**shipped_names, **own}.items()
    }


def _params(names: list[str]) -> list[str]:
    """A method's hyper-parameters, which its YAML declares in `space:` and a command fixes as `params.NAME`."""
    spaces = [name.split(".") for name in names if name.startswith("space.")]
    params = [f"params.{names[1]}" for names in spaces if len(names) == 2]
    return ["params", *params] if params else []


def _masks(names: list[str]) -> list[str]:
    """Further options of the mask that a method's YAML declares."""
    return [name for name in MASK_OPTIONS if name not in names] if "mask.threshold" in names else []


@cache
def _shipped(group: str, choice: str) -> Any:
    return read_yaml(shipped("conf") / group / f"{choice}.yaml", resolve=False)


@cache
def _defaults() -> dict[str, Any]:
    return dict(read_yaml(shipped("conf") / "sweep.yaml", resolve=False))


def _dotted(values: Any, prefix: str = "") -> Iterator[str]:
    for name in values:
        yield f"{prefix}{name}"
        if hasattr(values, "keys") and hasattr(values[name], "keys"):
            yield from _dotted(values[name], f"{prefix}{name}.")


def _chosen(overrides: Iterable[str]) -> dict[str, str]:
    """The choice of each group: given, or the default."""
    chosen = {group: choice for one in _defaults()["defaults"] if one != "_self_" for group, choice in one.items()}
    chosen.update((key, value) for key, _, value in (one.partition("=") for one in overrides) if key in GROUPS)
    return {group: chosen["dataset"] if choice == "${dataset}" else choice for group, choice in chosen.items()}


def default_of(group: str) -> str:
    """The choice of a group where none is made."""
    return _chosen(())[group]


def default_value(name: str) -> Any:
    """What conf/sweep.yaml says of an option that is in no group."""
    return _defaults()[name]


def _top_level() -> list[str]:
    return [*GROUPS, *(name for name in _defaults() if name != "defaults")]


def _beside(field: str, fields: list[str]) -> list[str]:
    """Those in the same place as `field`, or in the nearest that exists."""
    parent = field.rpartition(".")[0]
    while parent and not any(one.startswith(f"{parent}.") for one in fields):
        parent = parent.rpartition(".")[0]
    return [one for one in fields if one.rpartition(".")[0] == parent]


def nearest(name: str) -> list[str]:
    """What a name without a group, or of a group that is none, may have meant."""
    full = {
        f"{group}.{field}": None
        for group in GROUPS
        for fields in names_of(group).values()
        for field in fields
        if not field.startswith("space.")
    }
    same = [one for one in full if one.rpartition(".")[2] == name]
    top_level = [one for one in _dotted(_defaults()) if one != "defaults"]
    return same or get_close_matches(name, [*GROUPS, *top_level, *full], n=1, cutoff=0.7)
