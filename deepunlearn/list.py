"""`python -m deepunlearn.list`: what is registered, and the contract tests on any of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from deepunlearn.cli import folders_of, run_main, table, wants_help
from deepunlearn.config import method_configs, read_command
from deepunlearn.config.architectures import is_many
from deepunlearn.config.files import first_line
from deepunlearn.config.measures import added_measures
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.forget import kind_of
from deepunlearn.core.validation import refuse_repeats
from deepunlearn.metrics.catalogue import SCORED_TOGETHER
from deepunlearn.registry import KINDS, Folders, get, registered

CHECKED = ("method", "arch", "dataset", "forget", "measure", "attack")
OF_MODELS = ("measure", "attack")  # which a sweep has, and not a cell
USAGE = f"""usage: python -m deepunlearn.list [KIND [NAME ...]] [OPTION=VALUE ...] [plugins=DIR] [--check]

Lists what is registered, with the first line of each YAML: all kinds ({", ".join(KINDS)}), or one.
plugins=DIR holds parts of your own in folders named after their kind (docs/adding.md). --check runs the contract tests
of a kind ({", ".join(CHECKED)}) on those named, or on all (needs pytest); OPTION=VALUE are settings of a sweep
that they need, e.g. dataset.root=DIR. python -m deepunlearn.methods lists methods with their hyper-parameters."""


def main(arguments: Sequence[str]) -> int:
    if wants_help(arguments):
        print(USAGE)
        return 0
    refuse_repeats(arguments)
    others, folders = folders_of(arguments)
    for flag in (one for one in others if one.startswith("-") and one != "--check"):
        raise unknown("option", flag, ["--check"])
    words = [one for one in others if not one.startswith("-") and "=" not in one]
    settings = [one for one in others if not one.startswith("-") and "=" in one]
    kinds, names = words[:1], words[1:]
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind", kind, KINDS)
    if "--check" not in others:
        print("\n\n".join(_listed(kind, names, folders) for kind in kinds or KINDS))
        return 0
    if not kinds or kinds[0] not in CHECKED:
        raise unknown("kind with contract tests", " ".join(kinds), CHECKED)
    configs = list(_configs(kinds[0], names, folders, settings))
    if not configs:
        raise _nothing_to_check(kinds[0], configs)
    return check(kinds[0], configs)


def _nothing_to_check(given: str, allowed: Iterable[str]) -> ConfigError:
    return ConfigError(
        "there is nothing to run the contract tests on",
        given=given,
        allowed=", ".join(allowed) or "one of your own (docs/adding.md)",
        remedy="name one that is allowed, or give plugins=DIR with the folder that yours is in",
    )


def _listed(kind: str, names: Sequence[str], folders: Folders) -> str:
    registry = registered(kind, folders)
    rows = {
        name: first_line(registry[name].yaml) + ("" if registry[name].built_in else f" ({registry[name].origin})")
        for name in _chosen(kind, names, folders)
    }
    return table(kind if rows else f"{kind}\n  (none)", rows)


def _chosen(kind: str, names: Sequence[str], folders: Folders) -> Sequence[str]:
    return [get(kind, name, folders).name for name in names] or list(registered(kind, folders))


def _configs(kind: str, names: Sequence[str], folders: Folders, settings: list[str]) -> Iterator[Any]:
    """The configurations of those chosen, as a sweep under these settings would have them."""
    given = [f"{name}={value}" for name, value in folders._asdict().items() if value is not None]
    if kind == "dataset":
        given.append("arch=mlp")  # which takes images and tables
    read: Mapping[str, Any] = {}  # of kinds that a cell has none of
    if kind == "method":
        read = method_configs(folders)
    elif kind in OF_MODELS:
        added = [name for name in _chosen(kind, names, folders) if name not in SCORED_TOGETHER]
        read = {measure.name: measure for measure in added_measures(folders, added)}
    for name in _chosen(kind, names, folders):
        if kind == "arch" and not names and is_many(name):
            continue  # none of these is named
        if kind not in ("method", *OF_MODELS):
            own = kind_of(name, registered(kind, folders)[name].module).contract if kind == "forget" else ()
            yield getattr(read_command([f"{kind}={name}", *given, *own, *settings]).sweep.cells[0], kind)
        elif name in read:
            yield read[name]
        elif names:  # a chain is made of methods and is none; measures of every row are computed together
            raise _nothing_to_check(f"{kind} {name}", read)


def check(kind: str, configs: list[Any]) -> int:
    """Run the contract tests of `kind`; returns pytest's exit code."""
    try:
        from deepunlearn.testing.run import run_contract  # noqa: PLC0415  it needs pytest and torch, a list neither
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise ConfigError(
            "the contract tests need pytest",
            given=str(error),
            allowed="an environment with pytest",
            remedy="run pip install pytest, or pip install 'deepunlearn[dev]'",
        ) from error
    return run_contract(kind, configs)


if __name__ == "__main__":
    sys.exit(run_main(main))
