"""Datasets whose files torchvision reads."""

from __future__ import annotations

import http.client
import lzma
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepunlearn.core.errors import ConfigError, DataError, MissingData, unknown
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data import celeba
from deepunlearn.data.endings import SUFFIXES
from deepunlearn.data.folders import root_of
from deepunlearn.data.images import RawData, RawPart
from deepunlearn.data.inventory import Inventory, listing, stamp, unfit


class TorchvisionSet(NamedTuple):
    """What is read below dataset.root of a class of torchvision.datasets, and by whom.

    files: each must be there; folders: of images, each must be there; facts: further options that decide what is read.
    """

    files: tuple[str, ...]
    read: Callable[[DatasetConfig, Inventory], RawData]
    folders: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()


def _in_memory(config: DatasetConfig, inventory: Inventory) -> RawData:
    """What torchvision's reader holds in memory: data [N, H, W] or [N, H, W, 3], targets, classes."""
    reader = _reader(config)
    train, test = (reader(inventory.root, train=is_train, download=False) for is_train in (True, False))
    names = tuple(str(name) for name in train.classes)
    train_part, test_part = (_memory_part(config, inventory, part) for part in (train, test))
    return RawData(train_part, test_part, names, channels=1 if train.data.ndim == 3 else 3)


_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
SETS = {  # the name of the class: dataset.reader
    "MNIST": TorchvisionSet(tuple(f"MNIST/raw/{name}" for name in _IDX), _in_memory),
    "FashionMNIST": TorchvisionSet(tuple(f"FashionMNIST/raw/{name}" for name in _IDX), _in_memory),
    "CIFAR10": TorchvisionSet(tuple(f"cifar-10-batches-py/{name}" for name in _BATCHES), _in_memory),
    "CIFAR100": TorchvisionSet(tuple(f"cifar-100-python/{name}" for name in ("train", "test", "meta")), _in_memory),
    "CelebA": TorchvisionSet(
        celeba.LISTS, celeba.read_celeba, (celeba.FOLDER,), ("target", "test_ratio", "background")
    ),
}
# what torchvision raises on damaged files (assertions and views of wrong size among them) and interrupted downloads
_DAMAGED = (OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError, EOFError, IndexError)
_FAILED = (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError, lzma.LZMAError, zlib.error)


def find(config: DatasetConfig) -> Inventory:
    """The files that are read, downloaded first if they are missing and dataset.download=true."""
    dataset, root = _set(config), root_of(config)
    if config.download and _missing(dataset, root):
        _download(config, dataset, root)
    missing = _missing(dataset, root)
    if missing:
        raise MissingData(
            f"dataset {config.name} is not there: files are missing in {root}",
            given=f"missing {', '.join(missing)}",
            allowed=f"the files of torchvision.datasets.{config.reader}: {_needed(dataset)}",
            remedy="give dataset.download=true to download them, dataset.root=DIR where they lie elsewhere, or "
            "dataset.source=folder dataset.root=DIR for an image folder",
        )
    files = [stamp(root, path) for path in dataset.files]
    for folder in dataset.folders:
        files += listing(root, folder, SUFFIXES).images
    options = (f"{name}={getattr(config, name)}" for name in dataset.facts)
    return Inventory(root, tuple(files), ("torchvision", str(config.reader), *options))


def read(config: DatasetConfig, inventory: Inventory) -> RawData:
    """Both parts as the set's own files have them. Raises DataError where its reader refuses the files."""
    try:
        return _set(config).read(config, inventory)
    except _DAMAGED as error:
        folder = (inventory.root / _set(config).files[0]).parent
        raise DataError(
            f"the files of dataset {config.name} in {folder} are damaged",
            given=f"{type(error).__name__}: {error}",
            allowed=_needed(_set(config)),
            remedy=f"delete {folder} and give dataset.download=true, or point dataset.root=DIR elsewhere",
        ) from error


def _set(config: DatasetConfig) -> TorchvisionSet:
    if config.reader in SETS:
        return SETS[config.reader]
    if config.reader is not None:
        raise unknown("class of torchvision.datasets (dataset.reader)", config.reader, SETS)
    raise ConfigError(
        f"dataset {config.name} is to be read by torchvision and does not say which of its classes reads it",
        given="dataset.reader=null",
        allowed=", ".join(sorted(SETS)),
        remedy="give dataset=torchvision dataset.reader=SVHN, or dataset.source=folder dataset.root=DIR",
    )


def _needed(dataset: TorchvisionSet) -> str:
    return ", ".join((*dataset.files, *(f"{folder}/" for folder in dataset.folders)))


def _reader(config: DatasetConfig) -> Any:
    import torchvision.datasets  # noqa: PLC0415 - seconds, and only needed while decoding

    return getattr(torchvision.datasets, str(config.reader))


def _missing(dataset: TorchvisionSet, root: Path) -> list[str]:
    files = [path for path in dataset.files if not (root / path).is_file()]
    return files + [f"{folder}/" for folder in dataset.folders if not (root / folder).is_dir()]


def _download(config: DatasetConfig, dataset: TorchvisionSet, root: Path) -> None:
    try:
        _reader(config)(root, download=True)
    except _FAILED as error:
        raise DataError(
            f"the download of dataset {config.name} to {root} failed",
            given=f"{type(error).__name__}: {error}",
            allowed=f"the files {_needed(dataset)}",
            remedy="try again, or copy the files there from a machine with network access, or give dataset.root=DIR",
        ) from error


def _memory_part(config: DatasetConfig, inventory: Inventory, part: Any) -> RawPart:
    images, labels = np.asarray(part.data), np.asarray(part.targets, dtype=np.int64)
    if len(images) != len(labels):
        raise unfit(config, inventory, f"{len(images)} images but {len(labels)} labels", "one label per image")
    return RawPart(labels, images)
