"""Datasets whose files torchvision knows, by the name of their class in torchvision.datasets."""

from __future__ import annotations

import http.client
import lzma
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from deepunlearn.core.errors import ConfigError, DataError, MissingData, unknown
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data import celeba
from deepunlearn.data.endings import SUFFIXES
from deepunlearn.data.folders import root_of
from deepunlearn.data.images import RawData
from deepunlearn.data.inventory import Inventory, images_below, stamp
from deepunlearn.data.torchvision_files import (
    Arguments,
    Parts,
    read_arrays,
    read_cifar,
    read_emnist,
    read_files,
    read_idx,
    read_pcam,
    read_qmnist,
    read_stl10,
    reader_of,
)


class TorchvisionSet(NamedTuple):
    """What is read below dataset.root of a class of torchvision.datasets, and by whom.

    files: each must be there; folders: in which images are, below each other too; parts: arguments of the class for the
    training and the test part (one: for all images, where there is no test part); subsets: dataset.subset (the first
    is the default; in braces in files and folders) -> further arguments; facts: other options that decide what is read.
    """

    read: Callable[[DatasetConfig, Inventory, Parts], RawData]
    files: tuple[str, ...]
    folders: tuple[str, ...] = ()
    parts: Parts = ({"split": "train"}, {"split": "test"})
    subsets: Mapping[str, Arguments] = {}
    facts: tuple[str, ...] = ()


_BY_FLAG: Parts = ({"train": True}, {"train": False})
_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
_KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")


def _idx(reader: str) -> TorchvisionSet:
    return TorchvisionSet(read_idx, tuple(f"{reader}/raw/{name}" for name in _IDX), parts=_BY_FLAG)


def _below(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


SETS = {  # the name of the class: dataset.reader
    "CelebA": TorchvisionSet(celeba.read_celeba, celeba.LISTS, (celeba.FOLDER,), facts=("target", "test_ratio")),
    "CIFAR10": TorchvisionSet(read_cifar, _below("cifar-10-batches-py", *_BATCHES), parts=_BY_FLAG),
    "CIFAR100": TorchvisionSet(read_cifar, _below("cifar-100-python", "train", "test", "meta"), parts=_BY_FLAG),
    "Country211": TorchvisionSet(read_files, (), _below("country211", "train", "test")),
    "DTD": TorchvisionSet(
        read_files,
        _below("dtd/dtd/labels", "train{subset}.txt", "test{subset}.txt"),
        ("dtd/dtd/images",),
        subsets={str(number): {"partition": number} for number in range(1, 11)},
    ),
    "EMNIST": TorchvisionSet(
        read_emnist,
        tuple(f"EMNIST/raw/emnist-{{subset}}-{part}-{kind}" for part in ("train", "test") for kind in _KINDS),
        parts=_BY_FLAG,
        subsets={name: {"split": name} for name in ("balanced", "byclass", "bymerge", "letters", "digits", "mnist")},
    ),
    "EuroSAT": TorchvisionSet(read_files, (), ("eurosat/2750",), parts=({},), facts=("test_ratio",)),
    "FashionMNIST": _idx("FashionMNIST"),
    "FGVCAircraft": TorchvisionSet(
        read_files,
        _below(
            "fgvc-aircraft-2013b/data",
            "variants.txt",
            "families.txt",
            "manufacturers.txt",
            "images_{subset}_trainval.txt",
            "images_{subset}_test.txt",
        ),
        ("fgvc-aircraft-2013b/data/images",),
        parts=({"split": "trainval"}, {"split": "test"}),
        subsets={name: {"annotation_level": name} for name in ("variant", "family", "manufacturer")},
    ),
    "Flowers102": TorchvisionSet(
        read_files, _below("flowers-102", "imagelabels.mat", "setid.mat"), ("flowers-102/jpg",)
    ),
    "Food101": TorchvisionSet(read_files, _below("food-101/meta", "train.json", "test.json"), ("food-101/images",)),
    "GTSRB": TorchvisionSet(
        read_files, ("gtsrb/GT-final_test.csv",), _below("gtsrb/GTSRB", "Training", "Final_Test/Images")
    ),
    "KMNIST": _idx("KMNIST"),
    "MNIST": _idx("MNIST"),
    "OxfordIIITPet": TorchvisionSet(
        read_files,
        _below("oxford-iiit-pet/annotations", "trainval.txt", "test.txt"),
        ("oxford-iiit-pet/images",),
        parts=({"split": "trainval"}, {"split": "test"}),
    ),
    "PCAM": TorchvisionSet(
        read_pcam,
        tuple(f"pcam/camelyonpatch_level_2_split_{part}_{kind}.h5" for part in ("train", "test") for kind in "xy"),
    ),
    "Places365": TorchvisionSet(
        read_files,
        ("categories_places365.txt", "places365_train_standard.txt", "places365_val.txt"),
        ("data_{subset}_standard", "val_{subset}"),
        parts=({"split": "train-standard"}, {"split": "val"}),
        subsets={"256": {"small": True}, "large": {"small": False}},
    ),
    "QMNIST": TorchvisionSet(
        read_qmnist,
        _below(
            "QMNIST/raw",
            *(f"qmnist-{part}-{kind}" for part in ("train", "test") for kind in (_KINDS[0], "labels-idx2-int")),
        ),
        parts=_BY_FLAG,
    ),
    "RenderedSST2": TorchvisionSet(read_files, (), _below("rendered-sst2", "train", "test")),
    "StanfordCars": TorchvisionSet(
        read_files,
        _below(
            "stanford_cars", "devkit/cars_meta.mat", "devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat"
        ),
        _below("stanford_cars", "cars_train", "cars_test"),
    ),
    "STL10": TorchvisionSet(
        read_stl10,
        _below("stl10_binary", "train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt"),
    ),
    "SUN397": TorchvisionSet(read_files, ("SUN397/ClassName.txt",), ("SUN397",), parts=({},), facts=("test_ratio",)),
    "SVHN": TorchvisionSet(read_arrays, ("train_32x32.mat", "test_32x32.mat")),
    "USPS": TorchvisionSet(read_arrays, ("usps.bz2", "usps.t.bz2"), parts=_BY_FLAG),
}
# what readers raise on damaged files (assertions and views of wrong size among them) and interrupted downloads
_DAMAGED = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    AssertionError,
    EOFError,
    IndexError,
    pickle.UnpicklingError,
    struct.error,
    zlib.error,
)
_FAILED = (
    OSError,
    RuntimeError,
    ValueError,  # of a set that is no longer to be had
    ImportError,  # of what fetches files from where some sets lie
    EOFError,
    http.client.HTTPException,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
)


class Place(NamedTuple):
    """A set as a configuration chooses it: with the subset in its names and arguments."""

    files: list[str]
    folders: list[str]
    parts: list[Arguments]
    facts: list[str]

    @property
    def needed(self) -> str:
        return ", ".join((*self.files, *(f"{folder}/" for folder in self.folders)))

    def missing(self, root: Path) -> list[str]:
        files = [path for path in self.files if not (root / path).is_file()]
        return files + [f"{folder}/" for folder in self.folders if not (root / folder).is_dir()]


def find(config: DatasetConfig) -> Inventory:
    """The files that are read, downloaded first if they are missing and dataset.download=true."""
    place, root = _place(config), root_of(config)
    if config.download and place.missing(root):
        _download(config, place, root)
    if missing := place.missing(root):
        raise MissingData(
            f"dataset {config.name} is not there: files are missing in {root}",
            given=f"missing {', '.join(missing)}",
            allowed=f"the files of torchvision.datasets.{config.reader}: {place.needed}",
            remedy="give dataset.download=true to download them, dataset.root=DIR where they lie elsewhere, or "
            "dataset.source=folder dataset.root=DIR for an image folder",
        )
    files = [stamp(root, path) for path in place.files]
    for folder in place.folders:
        files += images_below(root, folder, SUFFIXES)
    return Inventory(root, tuple(files), ("torchvision", str(config.reader), *place.facts))


def read(config: DatasetConfig, inventory: Inventory) -> RawData:
    """Both parts as the set's own files have them. Raises DataError where its reader refuses the files."""
    place = _place(config)
    try:
        return SETS[str(config.reader)].read(config, inventory, place.parts)
    except _DAMAGED as error:
        folder = (inventory.root / (*place.files, *place.folders)[0]).parent
        raise DataError(
            f"the files of dataset {config.name} in {folder} are damaged",
            given=f"{type(error).__name__}: {error}",
            allowed=place.needed,
            remedy=f"delete {folder} and give dataset.download=true, or point dataset.root=DIR elsewhere",
        ) from error


def _set(config: DatasetConfig) -> TorchvisionSet:
    if config.reader in SETS:
        return SETS[config.reader]
    others = "others: dataset.source=folder, or code of your own as docs/adding.md shows"
    if config.reader is not None:
        raise unknown("class of torchvision.datasets (dataset.reader)", config.reader, SETS, remedy=others)
    raise ConfigError(
        f"dataset {config.name} is to be read by torchvision and does not say which of its classes reads it",
        given="dataset.reader=null",
        allowed=", ".join(sorted(SETS)),
        remedy=f"give dataset=torchvision dataset.reader=SVHN; {others}",
    )


def _place(config: DatasetConfig) -> Place:
    chosen = _set(config)
    facts = [f"{name}={getattr(config, name)}" for name in chosen.facts]
    if chosen.folders:
        facts.append(f"background={config.background}")
    if not chosen.subsets:
        _refuse_subset(config)
        return Place(list(chosen.files), list(chosen.folders), list(chosen.parts), facts)
    subset = next(iter(chosen.subsets)) if config.subset is None else str(config.subset)
    if subset not in chosen.subsets:
        raise unknown(f"subset of {config.reader} (dataset.subset)", subset, chosen.subsets)
    files, folders = ([name.format(subset=subset) for name in names] for names in (chosen.files, chosen.folders))
    parts: list[Arguments] = [{**part, **chosen.subsets[subset]} for part in chosen.parts]
    return Place(files, folders, parts, [*facts, f"subset={subset}"])


def _refuse_subset(config: DatasetConfig) -> None:
    if config.subset is not None:
        raise ConfigError(
            f"torchvision's {config.reader} has no subsets",
            given=f"dataset.subset={config.subset}",
            allowed="dataset.subset=null",
            remedy=f"leave it out; {', '.join(name for name, one in SETS.items() if one.subsets)} have subsets",
        )


def _download(config: DatasetConfig, place: Place, root: Path) -> None:
    try:
        for part in place.parts:
            reader_of(config)(root, download=True, **part)
    except _FAILED as error:
        raise DataError(
            f"the download of dataset {config.name} to {root} failed",
            given=f"{type(error).__name__}: {error}",
            allowed=f"the files {place.needed}",
            remedy="try again, or copy the files there from a machine with network access, or give dataset.root=DIR",
        ) from error
