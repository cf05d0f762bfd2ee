"""What is registered outside conf/, made known to Hydra as if it stood there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from pydantic import BaseModel

from deepunlearn.config.files import options, read_yaml
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import shipped
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.registry import SETTINGS, SWEEPS, Folders, Registered, check_code, check_plugins, registered

COMPOSED = ("method", "arch", "dataset", "forget")  # kinds that are groups of conf/
NAMED = ("search", "protocol")  # that results are told apart by
PROVIDER = "deepunlearn plug-ins"


def offer(folders: Folders) -> None:
    """Let Hydra compose what is not in conf/ like what is, and no longer what an earlier command had offered."""
    store = ConfigStore.instance()
    for kind in (*COMPOSED, *SETTINGS):
        group = store.repo.setdefault(kind, {})
        for name in [name for name, node in group.items() if node.provider == PROVIDER]:
            del group[name]
    for kind in COMPOSED:
        for one in registered(kind, folders).values():
            for group, values in () if one.built_in else _nodes(one):
                store.store(group=group, name=one.name, node=OmegaConf.create(values), provider=PROVIDER)
    for group, file in _settings(folders):
        store.store(group=group, name=file.stem, node=OmegaConf.create(_values(group, file)), provider=PROVIDER)


def _settings(folders: Folders) -> Iterator[tuple[str, Path]]:
    """The files of groups that are values alone in the folder of `plugins=` (`--config-dir` in Hydra's words)."""
    if folders.plugins is not None:
        for group in SETTINGS:
            yield from ((group, file) for file in sorted((Path(folders.plugins) / group).glob("*.yaml")))


def _values(group: str, file: Path) -> dict[str, Any]:
    """Raises ConfigError for a name that there is already, or that results would show wrongly."""
    values = read_yaml(file, resolve=False)
    if file.stem in options(group) or file.stem in ConfigStore.instance().repo[group]:
        raise _twice(group, file, options(group))
    if not isinstance(values, dict) or (group in NAMED and values.get("name") != file.stem):
        raise ConfigError(
            f"{file} does not say which {group} it is",
            given=f"name: {values.get('name') if isinstance(values, dict) else values}",
            allowed=f"name: {file.stem}",
            remedy="write that line into it: results show it",
        )
    return values


def sweeps(folders: Folders) -> dict[str, Path]:
    """The sweep files by name: ours, and those in the folder of `plugins=`. Raises ConfigError for a name twice."""
    ours = {file.stem: file for file in sorted(shipped(SWEEPS).glob("*.yaml"))}
    if folders.plugins is None:
        return ours
    check_plugins(Path(folders.plugins))
    own = {file.stem: file for file in sorted((Path(folders.plugins) / SWEEPS).glob("*.yaml"))}
    for name in sorted(own.keys() & ours.keys()):
        raise _twice("sweep", own[name], ours)
    return ours | own


def _twice(group: str, file: Path, names: Iterable[str]) -> ConfigError:
    return ConfigError(
        f"there are two of the same name: {group}={file.stem}",
        given=str(file),
        allowed=f"names other than {', '.join(names)}",
        remedy="rename yours, so that results of the two cannot be mistaken for each other",
    )


def _nodes(one: Registered) -> Iterator[tuple[str, dict[str, Any]]]:
    """The groups of conf/ to which a plug-in adds an option, with its values; a dataset may bring its recipe."""
    values = read(one)
    if one.kind == "dataset":
        if "train" in values:
            yield "train", values.pop("train")
        own = {} if one.module is None else {"module": one.module, "source": one.name}
        yield "dataset", {**_defaults(DatasetConfig), **own, **values}
    elif one.kind == "arch":
        own = {} if one.module is None else {"module": one.module}
        yield "arch", {**_defaults(ArchConfig), **own, **values}
    else:
        yield one.kind, values


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    """What a YAML may leave out, written out: Hydra overrides only what it sees."""
    fields = model.model_fields.items()
    return {name: field.get_default(call_default_factory=True) for name, field in fields if not field.is_required()}


def read(one: Registered) -> dict[str, Any]:
    """A registered thing's YAML. Raises ConfigError where it does not say the file's name, or its code lacks a part."""
    check_code(one)
    values = read_yaml(one.yaml, resolve=False)
    if not isinstance(values, dict) or ("steps" not in values and values.get("name") != one.name):
        raise ConfigError(
            f"{one.yaml} is not the YAML of {one.kind} {one.name!r}",
            given=f"name: {values.get('name') if isinstance(values, dict) else values}",
            allowed=f"name: {one.name}",
            remedy=f"give the {one.kind} the name of its files",
        )
    if one.kind == "method" and "params" in values:
        raise ConfigError(
            f"{one.yaml} declares hyper-parameters twice, in params: and in space:",
            given=f"params: {{{', '.join(values['params'] or ())}}}",
            allowed="space: alone, and in it role: epochs, batch_size or lr of each hyper-parameter that is one",
            remedy="delete params: and write e.g. epochs: {type: int, role: epochs, ...}; docs/adding.md shows one",
        )
    return values
