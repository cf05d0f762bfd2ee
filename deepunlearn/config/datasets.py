"""Datasets as configurations: one that is many gets a name of its own from what chooses among them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from deepunlearn.config.files import options, read_yaml
from deepunlearn.core.paths import shipped

CHOOSING = ("reader", "path", "subset", "target")  # options that make another dataset of one of the same name


def named(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The composed `values` of a dataset, with a name and a title that say what was chosen beside its YAML.

    `dataset=torchvision dataset.reader=SVHN` is torchvision-SVHN, titled SVHN; `dataset=celeba dataset.target=Male` is
    celeba-Male, titled CelebA (Male). A plug-in's YAML names its own.
    """
    title = values["title"]
    chosen = _chosen(values)
    for option, value in chosen.items():
        if f"{{{option}}}" in title:
            title = title.replace(f"{{{option}}}", value)
        elif not any(one.startswith("dataset.title=") for one in overrides):
            title = f"{title} ({value})"
    words = (values["name"], *(re.sub(r"[^\w.+]+", "_", value) for value in chosen.values()))
    return {**values, "name": "-".join(words), "title": title}


def _chosen(values: dict[str, Any]) -> dict[str, str]:
    """Options whose values are not those of the YAML that ships under this name."""
    name = values["name"]
    if name not in options("dataset") or values.get("module") is not None:
        return {}
    own = read_yaml(shipped("conf") / "dataset" / f"{name}.yaml")
    given = {option: values.get(option) for option in CHOOSING}
    return {
        option: PurePosixPath(str(value)).name
        for option, value in given.items()
        if value is not None and value != own.get(option)
    }
