"""The file formats of torchvision's sets, each read into both parts.

Pictures in files of their own are decoded as those of an image folder are: torchvision says which there are and what
they show. Nothing is unpickled but arrays: torchvision loads CIFAR with pickle, and .pt files beside MNIST's.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.samples import Column, Indices
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.folders import TEST_SEED, held_out
from deepunlearn.data.images import ImageFiles, Pixels, RawData, RawPart, Remark
from deepunlearn.data.inventory import Inventory, unfit
from deepunlearn.data.splits import stratified

Arguments = Mapping[str, Any]  # of torchvision's class, for a part
Parts = Sequence[Arguments]  # the training and the test part; or one for all, of which a share is cut off

MISSING_SHOWN = 5
EMNIST_NONE = "N/A"  # EMNIST's name of the class 0 of its letters, which has no images


def reader_of(config: DatasetConfig) -> Any:
    """The class of torchvision.datasets."""
    import torchvision.datasets  # noqa: PLC0415 - seconds, and only needed while decoding

    return getattr(torchvision.datasets, str(config.reader))


# --------------------------------------------------------------------------------------- pictures in files of their own


def read_files(config: DatasetConfig, inventory: Inventory, parts: Parts) -> RawData:
    """Pictures that lie in files: which, and of what class, is torchvision's to say."""
    sets = [reader_of(config)(inventory.root, **_as_paths(config), **part) for part in parts]
    names = _class_names(sets[0])
    files, labels = zip(*(_samples(config, inventory, one) for one in sets), strict=True)
    remarks: dict[Remark, list[str]] = {}

    def part(names: Sequence[str], labels: npt.NDArray[np.int64]) -> RawPart:
        return RawPart(labels, ImageFiles(inventory.root, names, config.background, remarks), names)

    if len(sets) == 2:
        both = [part(*one) for one in zip(files, labels, strict=True)]
    else:
        both = [part([files[0][row] for row in rows], labels[0][rows]) for rows in _cut(config, labels[0])]
    return RawData(both[0], both[1], names or _numbered(labels), channels=3, remarks=remarks)


def _as_paths(config: DatasetConfig) -> dict[str, Any]:
    """Has the class hand over paths instead of images, where it lets us say how they are loaded."""
    return {} if config.reader in _LISTS else {"loader": str}


_LISTS: dict[str, Callable[[Any], Iterable[tuple[str, int]]]] = {  # of classes that load images themselves
    "GTSRB": lambda one: list(one._samples),
    "OxfordIIITPet": lambda one: zip(one._images, one._labels, strict=True),
}


def _all_of(one: Any) -> Iterator[tuple[str, int]]:
    return (one[number] for number in range(len(one)))


def _samples(config: DatasetConfig, inventory: Inventory, one: Any) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Files relative to the root, and labels. Raises DataError where a file is not there."""
    listed = _LISTS.get(str(config.reader), _all_of)(one)
    pairs = [(Path(path).relative_to(inventory.root).as_posix(), label) for path, label in listed]
    there = {file.path for file in inventory.files}
    missing = [path for path, _ in pairs if path not in there]
    if missing:
        given = f"{len(missing):,} pictures are listed and not there: {', '.join(missing[:MISSING_SHOWN])}"
        raise unfit(config, inventory, given, "the files that its lists name")
    return [path for path, _ in pairs], np.array([label for _, label in pairs], dtype=np.int64)


def _cut(config: DatasetConfig, labels: npt.NDArray[np.int64]) -> tuple[Indices, Indices]:
    """A stratified share for testing, where a set has no test part."""
    test = stratified(labels, round(held_out(config) * len(labels)), np.random.RandomState(TEST_SEED), keep=1)
    return np.setdiff1d(np.arange(len(labels)), test), test


def _class_names(one: Any) -> tuple[str, ...]:
    """The names that torchvision knows; none where it knows none."""
    return tuple(str(name) for name in getattr(one, "classes", ()))


def _numbered(labels: Sequence[npt.ArrayLike]) -> tuple[str, ...]:
    return tuple(str(number) for number in range(1 + max(int(np.max(part)) for part in labels)))


# -------------------------------------------------------------------------------------------------- arrays in few files


def read_arrays(config: DatasetConfig, inventory: Inventory, parts: Parts) -> RawData:
    """What torchvision's class holds in memory: data uint8 [N, H, W] (grey) or [N, 3, H, W]."""
    sets = [reader_of(config)(inventory.root, **part) for part in parts]
    labels = [np.asarray(one.labels if hasattr(one, "labels") else one.targets) for one in sets]
    train, test = (
        _in_memory(config, inventory, np.asarray(one.data), label) for one, label in zip(sets, labels, strict=True)
    )
    return RawData(train, test, _class_names(sets[0]) or _numbered(labels), channels=3 if sets[0].data.ndim == 4 else 1)


def _in_memory(
    config: DatasetConfig,
    inventory: Inventory,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[Any],
    columns: Mapping[str, Column] | None = None,
) -> RawPart:
    """A part of images [N, H, W] or [N, 3, H, W]."""
    if len(images) != len(labels):
        raise unfit(config, inventory, f"{len(images)} images but {len(labels)} labels", "one label per image")
    upright = images.transpose(0, 2, 3, 1) if images.ndim == 4 else images
    return RawPart(labels.astype(np.int64), upright, columns=columns or {})


def read_idx(config: DatasetConfig, inventory: Inventory, parts: Parts) -> RawData:
    """MNIST and its like: images and labels in IDX files, in the order of the inventory."""
    from torchvision.datasets import mnist  # noqa: PLC0415 - only needed while decoding

    files = [inventory.root / file.path for file in inventory.files]
    pairs = [(mnist.read_image_file(files[at]).numpy(), mnist.read_label_file(files[at + 1]).numpy()) for at in (0, 2)]
    names = tuple(map(str, reader_of(config).classes))
    train, test = (_in_memory(config, inventory, *pair) for pair in pairs)
    return RawData(train, test, names, channels=1)


def read_emnist(config: DatasetConfig, inventory: Inventory, parts: Parts) -> RawData:
    """IDX files with one difference: the published images lie on their sides and are turned upright here."""
    from torchvision.datasets import EMNIST  # noqa: PLC0415 - only needed while decoding

    raw = read_idx(config, inventory, parts)
    names: list[str] = EMNIST.classes_split_dict[parts[0]["split"]]
    first = int(names[0] == EMNIST_NONE)

    def part(one: RawPart) -> RawPart:
        assert isinstance(one.images, np.ndarray)
        return RawPart(one.labels - first, one.images.transpose(0, 2, 1))

    return RawData(part(raw.train), part(raw.test), tuple(names[first:]), channels=1)


def read_qmnist(config: DatasetConfig, inventory: Inventory, parts: Parts) -> RawData:
    """MNIST with what NIST knew of each digit: its writer, and the series (`hsf`) that it was collected in."""
    from torchvision.datasets import mnist  # noqa: PLC0415 - only needed while decoding

    both = []
    for at in (0, 2):
        images, known = (
            mnist.read_sn3_pascalvincent_tensor(inventory.root / inventory.files[at + more].path).numpy()
            for more in (0, 1)
        )
        known = known.astype(np.int64)
        both.append(_in_memory(config, inventory, images, known[:, 0], {"hsf": known[:, 1], "writer": known[:, 2]}))
    return RawData(both[0], both[1], tuple(map(str, reader_of(config).classes)), channels=1)


def read_stl10(config: DatasetConfig, inventory: Inventory, parts: Parts) -> RawData:
    """96x96 pictures in plain bytes, by columns; labels from 1. The unlabelled ones need not be there."""
    train_images, train_labels, test_images, test_labels, classes = (
        inventory.root / file.path for file in inventory.files
    )

    def part(images: Path, labels: Path) -> RawPart:
        pixels = np.fromfile(images, dtype=np.uint8).reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)
        return _in_memory(config, inventory, pixels, np.fromfile(labels, dtype=np.uint8).astype(np.int64) - 1)

    names = tuple(classes.read_text(encoding="utf-8").split())
    return RawData(part(train_images, train_labels), part(test_images, test_labels), names, channels=3)


# ---------------------------------------------------------------------------------------------------------------- CIFAR


class _Arrays(pickle.Unpickler):
    """Loads plain values and NumPy arrays, and nothing else: a pickle can name any function to be called."""

    ALLOWED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.numeric", "_frombuffer"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # as NumPy 1 called it
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, and may hold only arrays and plain values")
        return super().find_class(module, name)


def read_cifar(config: DatasetConfig, inventory: Inventory, parts: Parts) -> RawData:
    """CIFAR's batches, whose checksums are those of the published files; CIFAR-100 has superclasses, `coarse`."""
    reader = reader_of(config)
    folder = inventory.root / reader.base_folder
    meta = _batch(folder / reader.meta["filename"], reader.meta["md5"])

    def part(listed: Sequence[tuple[str, str]]) -> RawPart:
        batches = [_batch(folder / file, md5) for file, md5 in listed]
        images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = [label for batch in batches for label in batch["fine_labels" if "fine_labels" in batch else "labels"]]
        return _in_memory(config, inventory, images, np.array(labels), _coarse(batches, meta))

    names = tuple(map(str, meta[reader.meta["key"]]))
    return RawData(part(reader.train_list), part(reader.test_list), names, channels=3)


def _coarse(batches: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> dict[str, Column]:
    labels = [label for batch in batches for label in batch.get("coarse_labels", ())]
    return {"coarse": np.array(meta["coarse_label_names"])[labels]} if labels else {}


def _batch(path: Path, md5: str) -> dict[str, Any]:
    """What a file holds. Raises ValueError where it is not the published one."""
    content = path.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise ValueError(f"the checksum of {path.name} is not that of the published file")
    with path.open("rb") as file:
        loaded: dict[str, Any] = _Arrays(file, encoding="latin1").load()
    return loaded


# ----------------------------------------------------------------------------------------------------------------- PCAM


class _Blocks:
    """The images of an HDF5 file, a block at a time: all of PCAM's are 8 GB."""

    def __init__(self, file: Path, block: int = 256) -> None:
        self.file, self.block = file, block

    def __iter__(self) -> Iterator[Pixels]:
        with _hdf5().File(self.file) as content:
            images = content["x"]
            for start in range(0, len(images), self.block):
                yield from images[start : start + self.block]


def read_pcam(config: DatasetConfig, inventory: Inventory, parts: Parts) -> RawData:
    """Patches of lymph nodes: is there tumour in the middle? The published validation part is not read."""

    def part(images: Path, labels: Path) -> RawPart:
        with _hdf5().File(labels) as content:
            known = content["y"][:].reshape(-1).astype(np.int64)
        with _hdf5().File(images) as content:
            shape = content["x"].shape
        if len(known) != shape[0]:
            raise unfit(config, inventory, f"{shape[0]} images but {len(known)} labels", "one label per image")
        return RawPart(known, _Blocks(images))

    files = [inventory.root / file.path for file in inventory.files]
    return RawData(part(files[0], files[1]), part(files[2], files[3]), ("no tumour", "tumour"), channels=3)


def _hdf5() -> Any:
    try:
        import h5py  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "HDF5 files cannot be read: h5py is not installed",
            given=str(error),
            allowed="h5py",
            remedy='install it: pip install "deepunlearn[hdf5]"',
        ) from error
    return h5py
