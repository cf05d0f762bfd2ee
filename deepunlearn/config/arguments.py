"""The words of a command line, before anything is composed of them: what each says, and what may be a grid."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deepunlearn.config.files import GROUPS, options
from deepunlearn.config.hydra_flags import PLAIN, VALUED
from deepunlearn.config.known import names_of
from deepunlearn.config.references import unresolved
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.metrics import scikit

NAME = re.compile(r"[\w.-]+")
NUMBER = re.compile(r"[+-]?(\d[\d_.]*(e[+-]?\d+)?|\.\d+|inf|nan)|true|false", re.IGNORECASE)
LISTS = re.compile(
    r"seeds|measures|reference\.original|(chain|rum)\.steps|launcher\.setup|dataset\.(mean|std|categories|ignore)|method\.[\w.]+\.(choices|between|words)"
)
VALUES = re.compile(r"(chain|rum)\.\d|method\.(\w+\.)?params\.")  # what a search chooses where nothing is given
GRIDS = "only dataset, arch, method and forget, with its values, may be grids"
FORGET = "forget."
FLAGS = ("--help", *VALUED, *PLAIN)
VARIABLE = "${oc.env:"
SEED = "{seed}"  # in the name of a file: there is one for each


def parsed(argument: str) -> tuple[str, str]:
    """`NAME=VALUE` as its two parts; of `~search` those of what stands where there is no search."""
    if argument.startswith("~"):
        return _removed(argument)
    key, equals, value = argument.partition("=")
    if key.startswith("-"):
        remedy = "write deepunlearn --version alone" if key in ("-V", "--version") else None
        raise unknown("flag", key, FLAGS, remedy=remedy)
    if not equals or not key:
        raise ConfigError(
            f"cannot read {argument!r}",
            given=argument,
            allowed="NAME=VALUE, e.g. method=msg",
            remedy="put NAME= before it; --help of the command lists the names",
        )
    if key.startswith("+"):
        key = _forced(key, argument)
    if re.match(r"hydra\b", key):
        raise ConfigError(
            "Hydra composes configurations here and runs nothing, so it has no options of its own",
            given=argument,
            allowed="options that --help of the command lists",
            remedy="results=DIR says where results go, launcher=slurm that a cluster runs them, method=ft,ct is a grid",
        )
    if key in GROUPS and VARIABLE in value:
        return key, _followed(key, value)
    return key, _QUOTED[key](value) if key in _QUOTED else value


def _followed(key: str, value: str) -> str:
    """A choice that a variable of the environment has. Hydra reads those in values; what it composes hangs on choices.

    Raises ConfigError for a variable that is not set.
    """
    try:
        return str(OmegaConf.create({key: value})[key])
    except OmegaConfBaseException as error:
        raise unresolved(error, f"{key}={value}") from None


def _forced(key: str, argument: str) -> str:
    """The option that `++NAME=` sets and `+NAME=` adds. Raises ConfigError where nothing can be added."""
    name = key.lstrip("+")
    if key.startswith("++") or FREE.match(argument.lstrip("+")):
        return name
    raise ConfigError(
        "options cannot be added, only set: each is declared, so that a misspelt one is noticed",
        given=argument,
        allowed=f"{name}=VALUE where there is such an option; any name as arch.args.NAME= and launcher.extra.NAME=",
        remedy="drop the '+'; a hyper-parameter of a method of yours is declared in its YAML (docs/adding.md)",
    )


def _removed(argument: str) -> tuple[str, str]:
    """Hydra's way to remove a group. Raises ConfigError where nothing stands for its absence."""
    name = argument[1:].partition("=")[0]
    if name in NOTHING:
        return name, NOTHING[name]
    raise ConfigError(
        "this option cannot be removed, only set",
        given=argument,
        allowed=", ".join(f"~{group}, which is {group}={none}" for group, none in NOTHING.items()),
        remedy=f"choose another, {name}=NAME" if name in GROUPS else f"leave {name} out, or write {name}=null",
    )


NOTHING = {"search": "none", "measures": "[]", "launcher": "local", "hparams": "null"}  # what stands where nothing is
FREE = re.compile(r"arch\.(args|parts)[.=]|arch\.weights=|launcher\.extra[.=]")  # any names may stand there


def _pattern(value: str) -> str:
    """A name with {seed} in it, as which it could not be read."""
    return f"'{value}'" if SEED in value and value[0] not in "'\"[" else value


def _path(value: str) -> str:
    """A folder may be called 2024, which would be read as a number."""
    return quoted(value) if NUMBER.fullmatch(value) else value


def quoted(value: str) -> str:
    """`value` as a text, whatever it looks like; as it is where it has quotes."""
    return value if value[:1] in ("'", '"') else "'" + value.replace("'", r"\'") + "'"


_QUOTED: Mapping[str, Callable[[str], str]] = {
    "measures": scikit.quoted,
    "reference.original": _pattern,
    **dict.fromkeys(("results", "dataset.root", "dataset.path"), _path),
}


def listed(axis: str, value: str) -> list[str]:
    """The names of an axis, each once: `ft`, `ft,ct` or `[ft,ct]`."""
    names = [item.strip() for item in value.strip("[]").split(",")]
    if not all(map(NAME.fullmatch, names)):
        raise ConfigError(
            f"{axis}= is given something that is no name",
            given=f"{axis}={value}",
            allowed="names with commas between them: " + ", ".join(options(axis)),
            remedy=f"give e.g. {axis}={','.join(list(options(axis))[:2])}",
        )
    return list(dict.fromkeys(names))


def check(argument: str) -> None:
    """Raises ConfigError for an option, not of an axis, that does not say one thing."""
    key, value = parsed(argument)
    override = _override(argument)
    if override.is_sweep_override():
        if not key.startswith(FORGET):
            raise _no_grid(key, value)
        each(argument)
    if key in GROUPS:
        _check_group(key, value)
    group, _, field = key.partition(".")
    if group in GROUPS and field == "name":
        raise named_by_choice(group, key, value)


def each(argument: str) -> list[str]:
    """The overrides that a grid stands for: `forget.ratio=0.1,0.2` are two."""
    override = _override(argument)
    if not override.is_sweep_override():
        return [argument]
    try:
        return [f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()]
    except (HydraException, TypeError):
        raise ConfigError(
            f"{override.key_or_group} is a grid whose values cannot be counted",
            given=argument,
            allowed="values with commas between them, or range(FROM,TO,STEP)",
            remedy=f"write e.g. {override.key_or_group}=A,B",
        ) from None


def named_by_choice(group: str, key: str, value: str) -> ConfigError:
    """The refusal of a name for what has one."""
    return ConfigError(
        f"{key} is set by the choice of {group}",
        given=f"{key}={value}",
        allowed=f"{group}= with one of {', '.join(names_of(group))}",
        remedy=f"write {group}={value}" if value in names_of(group) else f"leave {key}= out",
    )


def resolved(argument: str) -> Any:
    """The value of an option: typed, without quotes, what it refers to in its place."""
    key, _ = parsed(argument)
    try:
        values: Any = OmegaConf.to_container(OmegaConf.create({key: _override(argument).value()}), resolve=True)
    except OmegaConfBaseException as error:
        raise unresolved(error, argument) from None
    return values[key]


def _override(argument: str) -> Any:
    try:
        return _parser().parse_override(argument)
    except HydraException as error:
        raise ConfigError(
            f"cannot read {argument!r}",
            given=str(error).splitlines()[0][:200],
            allowed="NAME=VALUE; a list is [a,b], a mapping {a: 1, b: 2}, a reference ${NAME}",
            remedy="close what is open, and quote a text with special characters, e.g. 'dataset.root=\"my folder\"'",
        ) from None


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def _check_group(group: str, value: str) -> None:
    if value in names_of(group):
        return
    if NAME.fullmatch(value):
        raise unknown(group, value, names_of(group))
    raise ConfigError(
        f"{group}= takes one name",
        given=f"{group}={value}",
        allowed=", ".join(names_of(group)),
        remedy=f"give one of them; its options are set as {group}.NAME=VALUE",
    )


def _no_grid(key: str, value: str) -> ConfigError:
    one_each = "run one command for each value: what the commands share is computed once"
    if LISTS.fullmatch(key):
        items = "a,b" if "(" in value else value
        allowed, remedy = "one value, or a list in brackets", f"write '{key}=[{items}]'"
    elif key in GROUPS:
        allowed, remedy = f"one of {', '.join(options(key))}", one_each
    elif VALUES.match(key):
        allowed, remedy = "one value, or null to search it", f"{one_each}; or leave it out, and the search chooses"
    else:
        allowed, remedy = "one value", f"{one_each}; a text with a comma in it is quoted: '{key}=\"{value}\"'"
    return ConfigError(f"{key} cannot be a grid: {GRIDS}", given=f"{key}={value}", allowed=allowed, remedy=remedy)
