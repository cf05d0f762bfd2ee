"""What is registered outside conf/, made known to Hydra as if it stood there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from pydantic import BaseModel

from deepunlearn.config.files import read_yaml
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.registry import Folders, Registered, check_code, registered

COMPOSED = ("method", "arch", "dataset", "forget")  # kinds that are groups of conf/
PROVIDER = "deepunlearn plug-ins"


def offer(folders: Folders) -> None:
    """Let Hydra compose what is not in conf/ like what is, and no longer what an earlier command had offered."""
    store = ConfigStore.instance()
    for kind in (*COMPOSED, "train"):
        group = store.repo.setdefault(kind, {})
        for name in [name for name, node in group.items() if node.provider == PROVIDER]:
            del group[name]
    for kind in COMPOSED:
        for one in registered(kind, folders).values():
            for group, values in () if one.built_in else _nodes(one):
                store.store(group=group, name=one.name, node=OmegaConf.create(values), provider=PROVIDER)


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
