"""Where images come from: a file of two functions for each `dataset.source`, here or in a plug-in.

`find(config) -> Inventory` says which files there are, quickly: it raises DataError where they are missing and imports
nothing heavy unless it has to download. `read(config, inventory) -> RawData` hands over images and labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.images import RawData
from deepunlearn.data.inventory import Inventory, unfit
from deepunlearn.registry import digest, functions, load


def known() -> list[str]:
    """The values of dataset.source that any dataset may have."""
    return sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py"))


def find(config: DatasetConfig) -> Inventory:
    """The files of the dataset. Raises DataError (missing or unfit files), ConfigError (a source that cannot serve)."""
    inventory = _source(config)["find"](config)
    if not isinstance(inventory, Inventory):
        raise _wrong("find", config, inventory, Inventory)
    if not _is_plugin(config):
        return inventory
    assert config.module is not None
    return replace(inventory, facts=(*inventory.facts, f"code={digest([config.module])}"))  # edited code reads anew


def read(config: DatasetConfig, inventory: Inventory) -> RawData:
    """Both parts, checked: counts, label range, a training sample of each class, a test part. Raises DataError."""
    raw = _source(config)["read"](config, inventory)
    if not isinstance(raw, RawData):
        raise _wrong("read", config, raw, RawData)
    classes = len(raw.class_names)
    for part, name in ((raw.train, "training"), (raw.test, "test")):
        if len(part.labels) == 0:
            raise unfit(config, inventory, f"the {name} part is empty", "at least one image")
        low, high = int(part.labels.min()), int(part.labels.max())
        if low < 0 or high >= classes:
            raise unfit(config, inventory, f"labels of the {name} part go from {low} to {high}", f"0 to {classes - 1}")
    missing = [raw.class_names[label] for label in np.setdiff1d(np.arange(classes), raw.train.labels)]
    if missing:
        given = f"no training image of class {', '.join(missing[:10])}"
        raise unfit(config, inventory, given, "at least one training image per class")
    return raw


def _is_plugin(config: DatasetConfig) -> bool:
    return config.module is not None and config.source == config.name


def _source(config: DatasetConfig) -> Mapping[str, Callable[..., Any]]:
    if config.module is not None and _is_plugin(config):
        module = config.module
    elif config.source in known():
        module = f"{__name__}.{config.source}"
    else:
        raise unknown("dataset.source", config.source, known())
    return functions(load(module), ("find", "read"), f"dataset {config.name!r}")


def _wrong(function: str, config: DatasetConfig, given: object, wanted: type) -> ConfigError:
    return ConfigError(
        f"{function} of dataset {config.name!r} returns the wrong thing",
        given=type(given).__name__,
        allowed=f"{wanted.__module__}.{wanted.__name__}",
        remedy="correct its file; docs/adding.md shows an example",
    )
