"""What Hydra's `--cfg job` and `--info` print: the configurations that a command composes, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import hydra
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from deepunlearn import __version__
from deepunlearn.config.command import read_command
from deepunlearn.config.compositions import Composition, composing, compositions
from deepunlearn.config.files import AXES, GROUPS
from deepunlearn.config.hydra_flags import Asked
from deepunlearn.core.errors import unknown
from deepunlearn.core.paths import shipped
from deepunlearn.registry import HELD, KINDS, Folders, registered


def shown(asked: Asked) -> Iterator[str]:
    """What the flags of a command ask for, after all of the command has been checked. Raises ConfigError."""
    read_command(asked.words)
    yield from _information(asked.words) if asked.info else ()
    yield from _configurations(asked) if asked.config else ()


def _configurations(asked: Asked) -> Iterator[str]:
    """A YAML document for each cell and method, under a line that names them."""
    for number, one in enumerate(compositions(asked.words)):
        config = one.config()
        if asked.resolve:
            OmegaConf.resolve(config)
        values = OmegaConf.to_container(config, resolve=False)
        yield ("---\n" if number else "") + f"# {one.title}"
        yield from (f"# beside it, of a step: {step}" for step in one.steps)
        yield OmegaConf.to_yaml(OmegaConf.create(_part(values, asked.package))).rstrip()


def _part(values: Any, package: str | None) -> Any:
    """The part of a configuration that `--package` names, under its name. Raises ConfigError."""
    if package is None:
        return values
    part = values
    for name in package.split("."):
        if not isinstance(part, dict) or name not in part:
            raise unknown("part of the configuration", package, map(str, values))
        part = part[name]
    return {package: part}


def _information(words: list[str]) -> Iterator[str]:
    first, *others = compositions(words)
    yield f"deepunlearn {__version__}, Hydra {hydra.__version__}, which composes configurations and runs nothing"
    yield "\nconfigurations are looked for in"
    yield from (f"  {where}" for where in _places(first.folders))
    yield f"\ndefaults list of {first.title}" + (f" (and of {len(others)} more, likewise)" if others else "")
    yield from _defaults(first)
    yield "\n--cfg job prints the configuration, --cfg job --package train a part of it; --help lists all options"


def _places(folders: Folders) -> Iterator[str]:
    """Folders, and packages that declare parts, in the order in which they are asked."""
    yield f"{shipped('conf')} (of deepunlearn)"
    found = chain.from_iterable(registered(kind, folders).values() for kind in KINDS)
    yield from dict.fromkeys(f"{one.yaml.parent} ({one.origin})" for one in found if not one.built_in)
    if folders.plugins is not None:
        yield f"{folders.plugins} (--config-dir or plugins=; may hold {', '.join(HELD)})"
    yield f"{shipped('sweeps')} (sweep=NAME; a path that ends in .yaml is read where it is)"


def _chosen(found: Sequence[ResultDefault], parent: str, depth: int = 0) -> Iterator[str]:
    """The choices that the configuration `parent` makes, under each those that it is built on.

    Hydra's own list has the latter beside the former, as if a group had two choices.
    """
    for path in (str(entry.config_path) for entry in found if entry.parent == parent):
        group, _, choice = path.rpartition("/")
        yield f"{'  ' * (depth + 1)}{'built on ' if depth else ''}{group}: {choice}"
        yield from _chosen(found, path, depth + 1)


def _defaults(one: Composition) -> Iterator[str]:
    """Each group with its choice, and the overrides that come on top."""
    with composing():
        loader = GlobalHydra.instance().config_loader()
        found = loader.compute_defaults_list("sweep", one.overrides, RunMode.RUN)
    yield from _chosen(found.defaults, "sweep")
    plain = [override for override in one.overrides if override.partition("=")[0].lstrip("+") not in (*AXES, *GROUPS)]
    yield from ("\nvalues set on top", *(f"  {override}" for override in plain)) if plain else ()
