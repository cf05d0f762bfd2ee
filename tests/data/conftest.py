"""Configurations from the shipped YAML, and CIFAR batches that torchvision accepts."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
import yaml

from deepunlearn.core.paths import shipped
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.core.validation import validate
from tests.data.small_data import noise


@pytest.fixture
def progress() -> Progress:
    return Progress(quiet=True)


@pytest.fixture
def config() -> Callable[..., DatasetConfig]:
    """config("cifar10", limit=100): the shipped configuration with changes."""

    def compose(name: str, **changes: Any) -> DatasetConfig:
        values = yaml.safe_load((shipped("conf") / "dataset" / f"{name}.yaml").read_text(encoding="utf-8"))
        return validate(DatasetConfig, {**values, **changes}, "dataset")

    return compose


@pytest.fixture
def write_cifar(monkeypatch: pytest.MonkeyPatch) -> Callable[..., np.ndarray]:
    """Writes CIFAR batches and has torchvision expect their checksums; returns the training images [N, 3, 32, 32].

    `classes`: fewer than the dataset has (dataset.classes must then say so).
    """

    def write(root: Path, name: str, per_batch: int = 20, classes: int | None = None) -> np.ndarray:
        reader = getattr(torchvision.datasets, name.upper())
        folder = root / reader.base_folder
        folder.mkdir(parents=True)
        names = [f"class {index}" for index in range(classes or (100 if name == "cifar100" else 10))]
        key = "fine_labels" if name == "cifar100" else "labels"

        def batches(listed: Iterable[list[str]]) -> tuple[list[list[str]], list[np.ndarray]]:
            sums, images = [], []
            for seed, (file, _) in enumerate(listed):
                images.append(noise(seed, per_batch, 3 * 32 * 32))
                labels = [index % len(names) for index in range(per_batch)]
                sums.append([file, _dump(folder / file, {"data": images[-1], key: labels})])
            return sums, images

        train, images = batches(reader.train_list)
        monkeypatch.setattr(reader, "train_list", train)
        monkeypatch.setattr(reader, "test_list", batches(reader.test_list)[0])
        meta = {**reader.meta, "md5": _dump(folder / reader.meta["filename"], {reader.meta["key"]: names})}
        monkeypatch.setattr(reader, "meta", meta)
        return np.concatenate(images).reshape(-1, 3, 32, 32)

    return write


def _dump(path: Path, value: dict[str, Any]) -> str:
    path.write_bytes(pickle.dumps(value))
    return hashlib.md5(path.read_bytes()).hexdigest()
