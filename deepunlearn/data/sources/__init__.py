"""Where images and tables come from: a file of two functions for each `dataset.source`, here or in a plug-in.

`find(config) -> Inventory` says which files there are, quickly: it raises DataError where they are missing and imports
nothing heavy unless it has to download. `read(config, inventory) -> RawData` hands over images and labels. A source of
tables says `READS = "tables"`; its `read` hands over rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.handed_over import check_labels
from deepunlearn.data.images import RawData
from deepunlearn.data.inventory import Inventory, unfit
from deepunlearn.plugin_code import digest, functions, load

NOT_READ = (  # options that name the data, say where they lie, or what is done with them once they are read
    *("name", "title", "source", "module", "root", "download"),
    *("image_size", "crop_padding", "flip", "mean", "std"),
    *("duplicates", "limit", "val_ratio", "split_seed", "max_batch_size"),
)


def known() -> list[str]:
    """The values of dataset.source that any dataset may have."""
    return sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py"))


def find(config: DatasetConfig) -> Inventory:
    """The files of the dataset. Raises DataError (missing or unfit files), ConfigError (a source that cannot serve)."""
    source = _source(config)
    _check_kind(config, getattr(load(_module(config)), "READS", "images"))
    inventory = source["find"](config)
    if not isinstance(inventory, Inventory):
        raise _wrong("find", config, inventory, Inventory)
    if not _is_plugin(config):
        return inventory
    assert config.module is not None
    code = f"code={digest([config.module])}"  # edited code reads anew
    return replace(inventory, facts=(*inventory.facts, code, *_options(config)))


def _options(config: DatasetConfig) -> list[str]:
    """What the code of a plug-in may look at, where it is not the default: other options, other data."""
    values = config.model_dump(mode="json", exclude=set(NOT_READ), exclude_defaults=True)
    return [f"{name}={json.dumps(value)}" for name, value in sorted(values.items())]


def read(config: DatasetConfig, inventory: Inventory) -> RawData:
    """Both parts, checked: counts, labels, a training sample of each class, a test part. Raises DataError."""
    raw = _source(config)["read"](config, inventory)
    if not isinstance(raw, RawData):
        raise _wrong("read", config, raw, RawData)
    check_labels(config, raw)
    classes, what = len(raw.class_names), "row" if config.is_table else "image"
    for part, name in ((raw.train, "training"), (raw.test, "test")):
        if len(part.labels) == 0:
            raise unfit(config, inventory, f"the {name} part is empty", f"at least one {what}")
        low, high = int(part.labels.min()), int(part.labels.max())
        if low < 0 or high >= classes:
            raise unfit(config, inventory, f"labels of the {name} part go from {low} to {high}", f"0 to {classes - 1}")
    missing = [raw.class_names[label] for label in np.setdiff1d(np.arange(classes), raw.train.labels)]
    if missing:
        given = f"no training {what} of class {', '.join(missing[:10])}"
        raise unfit(config, inventory, given, f"at least one training {what} per class")
    return raw


def _is_plugin(config: DatasetConfig) -> bool:
    return config.module is not None and config.source == config.name


def _source(config: DatasetConfig) -> Mapping[str, Callable[..., Any]]:
    return functions(load(_module(config)), ("find", "read"), f"dataset {config.name!r}")


def _module(config: DatasetConfig) -> str:
    if config.module is not None and _is_plugin(config):
        return config.module
    if config.source not in known():
        raise unknown("dataset.source", config.source, known())
    return f"{__name__}.{config.source}"


def _check_kind(config: DatasetConfig, reads: str) -> None:
    if (reads == "tables") == config.is_table:
        return
    if config.is_table:
        problem, remedy = f"dataset {config.name} has images, and no size for them", "give dataset.image_size=32"
    else:
        problem, remedy = f"dataset {config.name} is a table, and tables have no image size", "leave it out"
    if config.name == "folder" or config.source == "table":
        remedy += "; dataset=table reads tables, dataset=folder images"
    size = "null" if config.image_size is None else config.image_size
    raise ConfigError(
        problem,
        given=f"dataset.image_size={size}, dataset.source={config.source}, which reads {reads}",
        allowed="dataset.image_size=null for tables, a number of pixels for images",
        remedy=remedy,
    )


def _wrong(function: str, config: DatasetConfig, given: object, wanted: type) -> ConfigError:
    return ConfigError(
        f"{function} of dataset {config.name!r} returns the wrong thing",
        given=type(given).__name__,
        allowed=f"{wanted.__module__}.{wanted.__name__}",
        remedy="correct its file; docs/adding.md shows an example",
    )
