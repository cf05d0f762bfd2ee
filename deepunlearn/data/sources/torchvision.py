"""Datasets whose files torchvision reads."""

from __future__ import annotations

import http.client
import lzma
import tarfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepunlearn.core.errors import DataError, MissingData, unknown
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.folders import root_of
from deepunlearn.data.images import RawData, RawPart
from deepunlearn.data.inventory import Inventory, stamp, unfit


class TorchvisionSet(NamedTuple):
    """Our name's class in torchvision.datasets and the files it reads below dataset.root."""

    reader: str
    files: tuple[str, ...]


_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
TORCHVISION = {
    "mnist": TorchvisionSet("MNIST", tuple(f"MNIST/raw/{name}" for name in _IDX)),
    "fashion_mnist": TorchvisionSet("FashionMNIST", tuple(f"FashionMNIST/raw/{name}" for name in _IDX)),
    "cifar10": TorchvisionSet("CIFAR10", tuple(f"cifar-10-batches-py/{name}" for name in _BATCHES)),
    "cifar100": TorchvisionSet("CIFAR100", tuple(f"cifar-100-python/{name}" for name in ("train", "test", "meta"))),
}
# what torchvision raises on damaged files (assertions and views of wrong size among them) and interrupted downloads
_DAMAGED = (OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError, EOFError, IndexError)
_FAILED = (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError, lzma.LZMAError, zlib.error)


def find(config: DatasetConfig) -> Inventory:
    """The files torchvision reads, downloaded first if they are missing and dataset.download=true."""
    dataset, root = _torchvision(config), root_of(config)
    if config.download and _missing(dataset, root):
        _download(config, dataset, root)
    missing = _missing(dataset, root)
    if missing:
        raise MissingData(
            f"dataset {config.name} is not there: files are missing in {root}",
            given=f"missing {', '.join(missing)}",
            allowed=f"the files of torchvision.datasets.{dataset.reader}: {', '.join(dataset.files)}",
            remedy="give dataset.download=true to download them, dataset.root=DIR where they lie elsewhere, or "
            "dataset.source=folder dataset.root=DIR for an image folder",
        )
    return Inventory(root, tuple(stamp(root, path) for path in dataset.files), ("torchvision", dataset.reader))


def read(config: DatasetConfig, inventory: Inventory) -> RawData:
    """What torchvision's reader holds in memory. Raises DataError where it refuses the files."""
    dataset = _torchvision(config)
    reader = _reader(dataset)
    try:
        train, test = (reader(inventory.root, train=is_train, download=False) for is_train in (True, False))
    except _DAMAGED as error:
        folder = (inventory.root / dataset.files[0]).parent
        raise DataError(
            f"the files of dataset {config.name} in {folder} are damaged",
            given=f"{type(error).__name__}: {error}",
            allowed=", ".join(Path(path).name for path in dataset.files),
            remedy=f"delete {folder} and give dataset.download=true, or point dataset.root=DIR elsewhere",
        ) from error
    names = tuple(str(name) for name in train.classes)
    train_part, test_part = (_memory_part(config, inventory, part) for part in (train, test))
    return RawData(train_part, test_part, names, channels=1 if train.data.ndim == 3 else 3)


def _torchvision(config: DatasetConfig) -> TorchvisionSet:
    if config.name not in TORCHVISION:
        raise unknown(
            "torchvision dataset",
            config.name,
            TORCHVISION,
            remedy="leave dataset.source out, or give dataset.source=folder dataset.root=DIR",
        )
    return TORCHVISION[config.name]


def _reader(dataset: TorchvisionSet) -> Any:
    import torchvision.datasets  # noqa: PLC0415 - seconds, and only needed while decoding

    return getattr(torchvision.datasets, dataset.reader)


def _missing(dataset: TorchvisionSet, root: Path) -> list[str]:
    return [path for path in dataset.files if not (root / path).is_file()]


def _download(config: DatasetConfig, dataset: TorchvisionSet, root: Path) -> None:
    try:
        _reader(dataset)(root, train=True, download=True)
    except _FAILED as error:
        raise DataError(
            f"the download of dataset {config.name} to {root} failed",
            given=f"{type(error).__name__}: {error}",
            allowed=f"the files {', '.join(dataset.files)}",
            remedy="try again, or copy the files there from a machine with network access, or give dataset.root=DIR",
        ) from error


def _memory_part(config: DatasetConfig, inventory: Inventory, part: Any) -> RawPart:
    images, labels = np.asarray(part.data), np.asarray(part.targets, dtype=np.int64)
    if len(images) != len(labels):
        raise unfit(config, inventory, f"{len(images)} images but {len(labels)} labels", "one label per image")
    return RawPart(labels, images)
