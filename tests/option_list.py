"""Every option of a sweep, from `conf/` and the schema; `python -m tests.option_list` writes docs/configuration.md.

Names and defaults are those of the YAML files, types and limits those of the models that validate them. What an option
means is said by its comment in a YAML file, or where there is none by the comment of the model's field.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from deepunlearn.config.command import Flags
from deepunlearn.config.files import options, sweep_files
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.forget import kind_of
from deepunlearn.core.method_config import MaskConfig
from deepunlearn.core.paths import shipped
from deepunlearn.core.schema import (
    DatasetConfig,
    LocalLauncher,
    ProtocolConfig,
    RuntimeConfig,
    SlurmLauncher,
    SweepConfig,
    TrainConfig,
)
from deepunlearn.core.search_config import SearchConfig
from deepunlearn.forget.rounds import Asked

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
BLOCK = re.compile(r"(<!-- options -->\n).*?(<!-- end -->)", re.DOTALL)
COMMENT = re.compile(r"^ *([a-z_]+): ?[^#\n]*?  ?#\s*(.+)$", re.MULTILINE)
HIDDEN = {"name", "title", "code", "version", "weights_digest", "persons"}  # identify a choice; nobody sets them
PLUGGED = {"dataset.module", "forget.module"}  # are set by the folder of a plug-in
MANY = 3  # different defaults that are told one by one
WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", NoneType: "null"}
SIGNS = {annotated_types.Ge: "at least", annotated_types.Gt: "above", annotated_types.Le: "at most"} | {
    annotated_types.Lt: "below"
}


class Group(NamedTuple):
    """A section of the page: the options of a group, or of one of its choices."""

    title: str
    prefix: str
    model: type[BaseModel]
    files: tuple[Path, ...]


def of_group(group: str, model: type[BaseModel], title: str) -> Group:
    """All choices of a group that have the same options."""
    return Group(title, f"{group}.", model, tuple(sorted((shipped("conf") / group).glob("*.yaml"))))


def of_choice(group: str, choice: str, model: type[BaseModel]) -> Group:
    """One choice, which has options of its own."""
    return Group(f"`{group}={choice}`", f"{group}.", model, (shipped("conf") / group / f"{choice}.yaml",))


def kind_of_value(annotation: Any, limits: tuple[Any, ...] = ()) -> str:
    """A type in words, with its limits: `whole number, at least 1, or null`."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return kind_of_value(inner, (*limits, *more))
    if get_origin(annotation) in (Union, UnionType):
        words = [kind_of_value(one, limits if one is not NoneType else ()) for one in get_args(annotation)]
        return ", or ".join(dict.fromkeys(words))
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (tuple, list):
        return "list"
    if get_origin(annotation) in (dict, Mapping) or _is_model(annotation):
        return "names with values"
    return ", ".join([WORDS.get(annotation, "value"), *_said(limits)])


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _said(limits: tuple[Any, ...]) -> Iterator[str]:
    """`at least 1`, of limits as the types hold them and as pydantic's fields do."""
    for one in limits:
        for limit in one.metadata if isinstance(one, FieldInfo) else (one,):
            if word := SIGNS.get(type(limit)):
                yield f"{word} {getattr(limit, type(limit).__name__.lower()):g}"


def comments(text: str) -> dict[str, str]:
    """Name -> the comment behind it, in a YAML file or in the source of a model."""
    return dict(COMMENT.findall(text))


def meanings(group: Group) -> dict[str, str]:
    """What each option means: the comment of the YAML files where they agree, else that of the model."""
    agreed: dict[str, set[str]] = {}
    for file in group.files:
        for name, said in comments(file.read_text(encoding="utf-8")).items():
            agreed.setdefault(name, set()).add(said)
    of_files = {name: next(iter(said)) for name, said in agreed.items() if len(said) == 1}
    of_model = comments(inspect.getsource(group.model))
    several = {name: min(said) for name, said in agreed.items()}
    return {**several, **of_model, **of_files}


def defaults(group: Group, name: str) -> str:
    """Its default; where choices differ each one's, or that they do."""
    found: dict[str, list[str]] = {}
    for file in group.files:
        unsaid = {name: group.model.model_fields[name].get_default(call_default_factory=True)}
        value = (unsaid | yaml.safe_load(file.read_text(encoding="utf-8")))[name]
        found.setdefault(_written(value), []).append(file.stem)
    if len(found) == 1:
        return next(iter(found))
    if len(found) > MANY:
        return f"by {group.prefix.rstrip('.')}" if group.prefix != "train." else "by dataset"
    common = max(found, key=lambda value: len(found[value]))
    others = [f"{value} with {', '.join(names)}" for value, names in found.items() if value != common]
    return "; ".join([common, *others])


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_written(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_written, value)) + "]"
    return str(value)


def rows(group: Group) -> Iterator[tuple[str, str, str, str]]:
    """Option, type, default and meaning of each."""
    means = meanings(group)
    for name, field in group.model.model_fields.items():
        if name not in HIDDEN and f"{group.prefix}{name}" not in PLUGGED:
            option = f"{group.prefix}{field.alias or name}"
            kind = GIVEN.get(option) or kind_of_value(field.annotation, tuple(field.metadata))
            yield option, kind, defaults(group, name), means.get(name, "")


def sweep_rows() -> Iterator[tuple[str, str, str, str]]:
    """The options that belong to no group, in the order of conf/sweep.yaml."""
    text = (shipped("conf") / "sweep.yaml").read_text(encoding="utf-8")
    parts = re.split(r"^(?=\w)", text, flags=re.MULTILINE)
    means = {part.partition(":")[0]: comments(part) for part in parts}
    fields = {**SweepConfig.model_fields, **Flags.model_fields}
    for name, value in yaml.safe_load(text).items():
        if name == "defaults":
            continue
        for inner, default in value.items() if isinstance(value, dict) else [("", value)]:
            kind = GIVEN.get(f"{name}.{inner}") or GIVEN.get(name) or kind_of_value(fields[name].annotation)
            yield f"{name}.{inner}".rstrip("."), kind, _written(default), means[name][inner or name]


GIVEN = {  # what a command is given there is not what the validated sweep holds
    "seeds": "whole number, or list",
    "measures": "list, or null",
    "reference.original": "path, or list of paths, or null",
    "reference.recipe": "path, or null",
    "chain": "list",
    "rum": "list, or path, or null",
    "plugins": "path, or null",
    "extra_methods": "path, or null",
    "hparams": "path, or `nearest`, or null",
    "search.winners": "path, or null",
}


def table(found: Iterator[tuple[str, str, str, str]]) -> str:
    lines = ["| option | type and allowed values | default | meaning |", "|---|---|---|---|"]
    for name, kind, default, meaning in found:
        words = [f"`{name}`", kind, f"`{default}`", meaning]
        lines.append("| " + " | ".join(word.replace("|", "\\|") for word in words) + " |")
    return "\n".join(lines)


def choices(group: str) -> str:
    """The names that a group can be given, each with the line that its file begins with."""
    lines = [f"| `{group}=` | what it is |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {said} |" for name, said in options(group).items())])


def sections() -> Iterator[str]:
    yield f"## The sweep itself\n\n{table(sweep_rows())}"
    files = "\n".join(f"| `{name}` | {said} |" for name, said in sweep_files().items())
    yield f"## Sweep files: `sweep=`\n\n| `sweep=` | what it is |\n|---|---|\n{files}"
    for group, model, title in GROUPS:
        yield f"## {title}: `{group}=`\n\n{choices(group)}\n\n{table(rows(of_group(group, model, title)))}"
    yield f"## Forget sets: `forget=`\n\n{choices('forget')}"
    yield f"### Requests: every forget set\n\n{table(unlisted(Group('', 'forget.', Asked, ())))}"
    for kind in options("forget"):
        yield f"### `forget={kind}`\n\n{table(rows(of_choice('forget', kind, kind_of(kind))))}"
    yield f"## Launchers: `launcher=`\n\n{choices('launcher')}"
    for choice, launcher in (("local", LocalLauncher), ("slurm", SlurmLauncher)):
        yield f"### `launcher={choice}`\n\n{table(rows(of_choice('launcher', choice, launcher)))}"
    yield f"## Masks on a method: `method.mask.`\n\n{table(unlisted(Group('', 'method.mask.', MaskConfig, ())))}"


def unlisted(group: Group) -> Iterator[tuple[str, str, str, str]]:
    """Options of every choice, which no YAML has all of."""
    means = comments(inspect.getsource(group.model))
    for name, field in group.model.model_fields.items():
        kind = kind_of_value(field.annotation, tuple(field.metadata))
        yield f"{group.prefix}{name}", kind, _written(field.default), means.get(name, "")


GROUPS: tuple[tuple[str, type[BaseModel], str], ...] = (
    ("dataset", DatasetConfig, "Datasets"),
    ("train", TrainConfig, "Recipes of training"),
    ("arch", ArchConfig, "Networks"),
    ("search", SearchConfig, "Searches"),
    ("protocol", ProtocolConfig, "Protocols"),
    ("runtime", RuntimeConfig, "Device and precision"),
)


def page() -> str:
    """docs/configuration.md with the options as they are now."""
    made = "\n\n".join(sections())
    return BLOCK.sub(lambda found: f"{found[1]}{made}\n{found[2]}", PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
