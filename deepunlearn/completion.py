"""`deepunlearn completion SHELL`: the lines that teach a shell to complete `deepunlearn`, and what it then offers.

A shell asks at every press of the key, so nothing slow is imported: neither torch nor Hydra, pandas or Optuna. Names
are those of `conf/`, of installed packages and of the folders that the line gives; values are those of the schema.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import yaml
from argcomplete.completers import SuppressCompleter
from argcomplete.finders import CompletionFinder
from argcomplete.lexers import split_line
from argcomplete.shell_integration import shellcode
from pydantic import BaseModel

from deepunlearn.cli import folders_of, run_main, wants_help
from deepunlearn.core.errors import unknown
from deepunlearn.core.forget import REQUESTS
from deepunlearn.core.paths import shipped
from deepunlearn.registry import KINDS, SWEEPS, Folders, registered

SHELLS = ("bash", "zsh", "fish")
USAGE = """usage: deepunlearn completion bash|zsh|fish

Prints the lines that teach a shell to complete deepunlearn: its commands, the options of each, and their values.
  bash   put into ~/.bashrc:                   eval "$(deepunlearn completion bash)"
  zsh    put into ~/.zshrc, behind compinit:   eval "$(deepunlearn completion zsh)"
  fish   run once:   deepunlearn completion fish > ~/.config/fish/completions/deepunlearn.fish
Then press the tabulator: deepunlearn sweep method=ft,s<TAB>"""

PATH = "path"  # values are files and folders
BOOLEAN = ("true", "false")
Values = str | tuple[str, ...]  # the words, or what they are: PATH, or a group of conf/
Options = Mapping[str, Values]
FOLDERS: Options = dict.fromkeys(Folders._fields, PATH)
READ: Options = {
    "results": PATH,
    "records": PATH,
    "partial": BOOLEAN,
    "compare": ("none", "paper", "erasure"),
    "extra": PATH,
    "round": (),
}
NAMED: Options = {axis: axis for axis in ("dataset", "arch", "method", "forget")}
OPTIONS: Mapping[str, Options] = {  # of the commands that do not take all that conf/sweep.yaml has
    "status": {"results": PATH},
    "tables": READ,
    "report": {**READ, "figures.width": ("3.3", "6.8"), "format": ("pdf", "svg", "png"), "panels": BOOLEAN},
    "measure": {
        **NAMED,
        **FOLDERS,
        "measures": "measure",
        "results": PATH,
        "launcher": "launcher",
        **dict.fromkeys(("plan", "confirm", "retry_failed", "wait"), BOOLEAN),
    },
    "forget": {
        **dict.fromkeys(("model", "data", "ids", "out", "results"), PATH),
        **FOLDERS,
        "arch": "arch",
        "dataset": "dataset",
        "method": "method",
        "seed": (),
        "checks.accuracy_drop": (),
        "checks.attack_auc": (),
        **dict.fromkeys(("plan", "relearn"), BOOLEAN),
    },
    "share": {
        "out": PATH,
        "results": PATH,
        "methods": "method",
        "dataset": "dataset",
        "arch": "arch",
        "plan": BOOLEAN,
    },
    "methods": FOLDERS,
    "list": FOLDERS,
    "check-gpu": {"device": ("auto", "cuda", "cpu"), "out": PATH},
    "completion": {},
}
OPENED: Mapping[str, Sequence[str]] = {  # the groups whose options such a command takes, as group.NAME=
    "measure": ("launcher", "runtime"),
    "forget": ("arch", "dataset", "method", "runtime"),
}
FLAGS = ("--help", "--cfg", "--package", "--resolve", "--info", "--config-dir", "--multirun")
WORDS: Mapping[str, Sequence[str]] = {
    "sweep": FLAGS,
    "lira": FLAGS,
    "status": ("--help", "--watch", "--json"),
    "share": ("--help", "export", "import", "show"),
    "methods": ("--help", "--markdown", "--check"),
    "list": ("--help", "--check", *KINDS),
    "check-gpu": ("--help", "--minutes"),
    "completion": ("--help", *SHELLS),
}
CONFIG_DIR = ("--config-dir", "-cd")  # which plugins= is, too
PATHS = ("results", "hparams", "plugins", "extra_methods", "root", "path", "original", "recipe", "weights", "bank")


def main(arguments: Sequence[str]) -> int:
    """Print the lines for a shell; returns the exit code."""
    if wants_help(arguments) or not arguments:
        print(USAGE)
        return 0
    for shell in arguments:
        if shell not in SHELLS:
            raise unknown("shell", shell, SHELLS)
        print(shellcode(["deepunlearn"], shell=shell))
    return 0


def answer(commands: Mapping[str, str]) -> None:
    """Tell the shell that asks (in the variables of argcomplete) what may come next, and end this process."""
    parser = argparse.ArgumentParser(add_help=False, prefix_chars="\0")  # no word of ours is one of argparse's options
    parser.add_argument("words", nargs="*").completer = _next  # type: ignore[attr-defined]
    _COMMANDS.update(commands)
    CompletionFinder()(parser, default_completer=SuppressCompleter())


_COMMANDS: dict[str, str] = {}


def _next(prefix: str, **_: Any) -> dict[str, str] | list[str]:
    """What may stand in place of the word that begins with `prefix`; the commands with what they do."""
    words = split_line(os.environ["COMP_LINE"], int(os.environ["COMP_POINT"]))[3]
    if len(words) < 2:
        first = {**_COMMANDS, "--help": "the commands, and an example of each", "--version": "the version"}
        return {name: does for name, does in first.items() if name.startswith(prefix)}
    return offered(words[1], words[2:], prefix)


def offered(command: str, earlier: Sequence[str], prefix: str) -> list[str]:
    """The words that begin with `prefix` and may follow `earlier` words of a command."""
    if earlier and earlier[-1] in CONFIG_DIR:
        return list(_paths(prefix))
    earlier = [*earlier, *(f"plugins={folder}" for flag, folder in pairwise(earlier) if flag in CONFIG_DIR)]
    name, equals, value = prefix.partition("=")
    if equals:
        return [f"{name}={one}" for one in _listed(_values(command, name, earlier, value), value)]
    names = chain(WORDS.get(command, ("--help",)), _names(command, earlier, prefix))
    return list(dict.fromkeys(one for one in names if one.startswith(prefix)))


def _names(command: str, earlier: Sequence[str], prefix: str) -> Iterator[str]:
    """The options, each with its `=`; those of a group only where its name and a dot are written already."""
    group, dot, _ = prefix.partition(".")
    if command not in (*OPTIONS, *_COMMANDS):
        return
    own = OPTIONS.get(command)
    yield from (f"{name}=" for name in (_top_level() if own is None else own))
    opened = _groups() if own is None else OPENED.get(command, ())
    yield from (f"{one}." for one in opened)
    if dot and group in opened:
        yield from (f"{group}.{field}=" for choice in _chosen(group, earlier) for field in _fields(group, choice))
    if command == "list" and earlier and earlier[0] in KINDS:
        yield from registered(earlier[0], folders_of(earlier)[1])
    if command == "methods":
        yield from registered("method", folders_of(earlier)[1])


def _values(command: str, name: str, earlier: Sequence[str], value: str) -> Iterator[str]:
    """The values of an option, as far as they can be listed."""
    own = OPTIONS.get(command, {}).get(name)
    group, dot, field = name.partition(".")
    if isinstance(own, tuple):
        yield from own
    elif own == PATH or name.rpartition(".")[2] in PATHS:
        yield from _paths(value)
    elif own is not None or name in _groups():
        yield from _choices(own or name, folders_of(earlier)[1])
    elif name == "measures":
        yield from _measures(folders_of(earlier)[1])
    elif name == "sweep":
        yield from chain(_stems(shipped(SWEEPS)), _own(SWEEPS, folders_of(earlier)[1]), _paths(value))
    else:
        yield from _enumerated(group if dot else "", field if dot else name)


def _listed(names: Iterator[str], value: str) -> list[str]:
    """`ft,sa` is completed to `ft,salun`, `[au` to `[aus`."""
    start = max(len(value) - len(value.lstrip("[")), value.rfind(",") + 1)
    done, part = value[:start], value[start:]
    had = done.strip("[").split(",")
    return [f"{done}{one}" for one in names if one.startswith(part) and one not in had]


# ------------------------------------------------------------------------------------------------------- what there is


def _choices(group: str, folders: Folders) -> Iterator[str]:
    if group == "measure":
        yield from _measures(folders)
        return
    if group in KINDS:
        yield from registered(group, folders)
        return
    yield from _stems(shipped("conf") / group)
    yield from _own(group, folders)


def _own(group: str, folders: Folders) -> Iterator[str]:
    """The names in a folder of that of `plugins=`."""
    return iter(()) if folders.plugins is None else _stems(Path(folders.plugins) / group)


def _measures(folders: Folders) -> Iterator[str]:
    """What measures= takes: sets, measures and attacks, but for those that every row has."""
    from deepunlearn.metrics.catalogue import SCORED_TOGETHER  # noqa: PLC0415  most questions need no measures

    ones = [one for kind in ("measure", "attack") for one in registered(kind, folders).values()]
    sets = sorted({name for one in ones for name in _read(one.yaml).get("sets", ())})
    yield from dict.fromkeys(("default", "all", "none", *sets))
    yield from (one.name for one in ones if one.name not in SCORED_TOGETHER)


def _stems(folder: Path) -> Iterator[str]:
    return (file.stem for file in sorted(folder.glob("*.yaml")))


def _paths(value: str) -> Iterator[str]:
    """Files and folders that begin with `value`; a folder ends in a stroke, so that one may go on in it."""
    written = value[: value.rfind("/") + 1]
    folder = Path(written or ".")
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        yield f"{written}{path.name}{'/' if path.is_dir() else ''}"


def _read(file: Path) -> dict[str, Any]:
    """A YAML of ours, as it stands."""
    values = yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return values if isinstance(values, dict) else {}


def _defaults() -> dict[str, Any]:
    return _read(shipped("conf") / "sweep.yaml")


def _groups() -> list[str]:
    """The groups of conf/ that a sweep chooses from."""
    return [group for one in _defaults()["defaults"] if isinstance(one, dict) for group in one]


def _top_level() -> Iterator[str]:
    """Names without a group: `sweep`, the groups, `seeds`, `reference.original`, ..."""
    own = {name: value for name, value in _defaults().items() if name != "defaults"}
    yield from chain(("sweep",), _groups(), (name for name in _dotted(own) if not isinstance(own.get(name), dict)))


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{name}.")


def _chosen(group: str, earlier: Sequence[str]) -> list[str]:
    """The choices of a group that a line makes, or the default."""
    given = [one.partition("=")[2] for one in earlier if one.startswith(f"{group}=")]
    if given:
        return given[-1].split(",")
    default = next(one[group] for one in _defaults()["defaults"] if isinstance(one, dict) and group in one)
    return _chosen("dataset", earlier) if default == "${dataset}" else [default]


def _fields(group: str, choice: str) -> list[str]:
    """The options of a choice of a group; of a method the hyper-parameters alone, which a command may fix."""
    file = shipped("conf") / group / f"{choice}.yaml"
    values = _read(file) if file.is_file() else {}
    if group == "method":
        return [f"params.{name}" for name in values.get("space", {})]
    every = REQUESTS if group == "forget" else ()
    return [name for name in dict.fromkeys((*_dotted(values), *every)) if name not in ("name", "title")]


def _enumerated(group: str, field: str) -> Iterator[str]:
    """The values of an option that takes one of a few, or true and false."""
    from deepunlearn.core import schema  # noqa: PLC0415  most questions need no types
    from deepunlearn.core.search_config import SearchConfig  # noqa: PLC0415

    models: Mapping[str, type[BaseModel]] = {
        "": schema.SweepConfig,
        "dataset": schema.DatasetConfig,
        "search": SearchConfig,
        "runtime": schema.RuntimeConfig,
        "launcher": schema.SlurmLauncher,
    }
    fields = models[group].model_fields if group in models else {}
    if field in fields:
        yield from _words(fields[field].annotation)
    elif not group and isinstance(_defaults().get(field), bool):
        yield from BOOLEAN


def _words(annotation: Any) -> Iterator[str]:
    """The words that a type lists: those of a Literal, true and false of a bool, null of what may be left open."""
    if annotation is bool:
        yield from BOOLEAN
    inner = get_args(annotation)
    words = [one for one in inner if isinstance(one, str)]
    yield from words or chain.from_iterable(_words(one) for one in inner if one is not NoneType)
    if NoneType in inner:
        yield "null"


if __name__ == "__main__":
    sys.exit(run_main(main))
