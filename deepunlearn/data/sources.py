"""Where images come from: one finder (which files, quickly) and one reader (images and labels) per `dataset.source`.

A finder raises DataError where the files are missing; it imports nothing heavy unless it has to download.
"""

from __future__ import annotations

import http.client
import lzma
import tarfile
import zlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepunlearn.core.errors import ConfigError, DataError, MissingData, unknown
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.folders import (
    TEST_SEED,
    find_folder,
    find_utkface,
    held_out,
    read_folder,
    read_utkface,
    root_of,
)
from deepunlearn.data.images import RawData, RawPart
from deepunlearn.data.inventory import Inventory, stamp
from deepunlearn.data.splits import stratified


class Source(NamedTuple):
    """How one kind of dataset is found and read."""

    find: Callable[[DatasetConfig], Inventory]
    read: Callable[[DatasetConfig, Inventory], RawData]


def find(config: DatasetConfig) -> Inventory:
    """The files of the dataset. Raises DataError (missing or unfit files), ConfigError (a source that cannot serve)."""
    return SOURCES[config.source].find(config)


def read(config: DatasetConfig, inventory: Inventory) -> RawData:
    """Both parts, checked: counts, label range, a training sample of each class, a test part. Raises DataError."""
    raw = SOURCES[config.source].read(config, inventory)
    classes = len(raw.class_names)
    for part, name in ((raw.train, "training"), (raw.test, "test")):
        if len(part.labels) == 0:
            raise _unfit(config, inventory, f"the {name} part is empty", "at least one image")
        low, high = int(part.labels.min()), int(part.labels.max())
        if low < 0 or high >= classes:
            raise _unfit(config, inventory, f"labels of the {name} part go from {low} to {high}", f"0 to {classes - 1}")
    missing = [raw.class_names[label] for label in np.setdiff1d(np.arange(classes), raw.train.labels)]
    if missing:
        given = f"no training image of class {', '.join(missing[:10])}"
        raise _unfit(config, inventory, given, "at least one training image per class")
    return raw


def _unfit(config: DatasetConfig, inventory: Inventory, given: str, allowed: str) -> DataError:
    return DataError(
        f"dataset {config.name} in {inventory.root} cannot be used",
        given=given,
        allowed=allowed,
        remedy="restore the files from their source, or point dataset.root=DIR elsewhere",
    )


# -------------------------------------------------------------------------------------------------------- torchvision


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


def find_torchvision(config: DatasetConfig) -> Inventory:
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


def read_torchvision(config: DatasetConfig, inventory: Inventory) -> RawData:
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
        raise _unfit(config, inventory, f"{len(images)} images but {len(labels)} labels", "one label per image")
    return RawPart(labels, images)


# ------------------------------------------------------------------------------------------------------- scikit-learn


def find_digits(config: DatasetConfig) -> Inventory:
    """No files of ours: scikit-learn carries the digits, its version names them."""
    if config.name != "digits":
        raise ConfigError(
            f"dataset {config.name} does not come with scikit-learn",
            given="dataset.source=sklearn",
            allowed="dataset=digits",
            remedy="give dataset.source=torchvision or dataset.source=folder",
        )
    version = metadata.version("scikit-learn")
    return Inventory(Path(), (), ("scikit-learn", version, f"test_ratio={held_out(config)}"))


def read_digits(config: DatasetConfig, inventory: Inventory) -> RawData:
    """1,797 grey images of 8x8, values 0 to 16 scaled to 0 to 255; a stratified share is cut off for testing."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - a second, and only needed while decoding

    digits = load_digits()
    images = ((digits.images.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)  # rounds to the nearest
    labels = digits.target.astype(np.int64)
    test = stratified(labels, round(held_out(config) * len(labels)), np.random.RandomState(TEST_SEED), keep=1)
    train = np.setdiff1d(np.arange(len(labels)), test)
    names = tuple(str(name) for name in digits.target_names)
    train_part, test_part = (RawPart(labels[part], images[part]) for part in (train, test))
    return RawData(train_part, test_part, names, channels=1)


SOURCES = {
    "torchvision": Source(find_torchvision, read_torchvision),
    "sklearn": Source(find_digits, read_digits),
    "folder": Source(find_folder, read_folder),
    "utkface": Source(find_utkface, read_utkface),
}
