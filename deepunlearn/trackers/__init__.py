"""Trackers of experiments: MLflow, Weights & Biases or TensorBoard, told of results that are stored already.

One file for each, with one subclass of `base.Tracker`. Their libraries are extras, imported when asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from deepunlearn.core.errors import ConfigError
from deepunlearn.plugin_code import only_class
from deepunlearn.trackers.base import Tracker

LIBRARIES = {"mlflow": "mlflow", "wandb": "wandb", "tensorboard": "tensorboard"}  # file here -> module that it needs


def check_installed(name: str) -> None:
    """Raises ConfigError where the library of a tracker is missing; of `none` there is none."""
    if name in LIBRARIES and not _installed(LIBRARIES[name]):
        raise ConfigError(
            f"the library of tracker={name} is not installed",
            given=f"tracker={name}, and Python finds no module {LIBRARIES[name]}",
            allowed=", ".join(("none", *(one for one in LIBRARIES if _installed(LIBRARIES[one])))),
            remedy=f"pip install 'deepunlearn[{name}]', or leave tracker= out",
        )


def _installed(module: str) -> bool:
    """A folder of that name in the current one, such as W&B's own `wandb`, is no library, though it can be imported."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


def open_tracker(name: str, folder: Path) -> Tracker:
    """The tracker of this name; folder: where it writes, unless the user's settings name another place."""
    module = importlib.import_module(f"deepunlearn.trackers.{name}")
    return only_class(module, Tracker, f"tracker {name}")(folder)  # type: ignore[type-abstract]
