"""What is registered outside conf/, made known to Hydra as if it stood there."""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from deepunlearn.config.files import read_yaml
from deepunlearn.core.errors import ConfigError
from deepunlearn.registry import Folders, Registered, registered

COMPOSED = ("method", "arch", "dataset", "forget")  # kinds that are groups of conf/
PROVIDER = "deepunlearn plug-ins"


def offer(folders: Folders) -> None:
    """Let Hydra compose what is not in conf/ like what is, and no longer what an earlier command had offered."""
    store = ConfigStore.instance()
    for kind in COMPOSED:
        group = store.repo.setdefault(kind, {})
        for name in [name for name, node in group.items() if node.provider == PROVIDER]:
            del group[name]
    for kind in COMPOSED:
        for one in registered(kind, folders).values():
            if not one.ours:
                store.store(group=kind, name=one.name, node=OmegaConf.create(read(one)), provider=PROVIDER)


def read(one: Registered) -> dict[str, Any]:
    """A registered thing's YAML. Raises ConfigError where it does not say the file's name."""
    values = read_yaml(one.yaml, resolve=False)
    if not isinstance(values, dict) or ("steps" not in values and values.get("name") != one.name):
        raise ConfigError(
            f"{one.yaml} is not the YAML of {one.kind} {one.name!r}",
            given=f"name: {values.get('name') if isinstance(values, dict) else values}",
            allowed=f"name: {one.name}",
            remedy=f"give the {one.kind} the name of its files",
        )
    return values
