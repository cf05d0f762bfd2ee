"""Datasets of jpg and png files: one folder per class, and UTKFace with its labels in the file names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError, DataError, MissingData
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.images import ImageFiles, RawData, RawPart, all_grey
from deepunlearn.data.inventory import FileStamp, Inventory, stamps_of, subfolders
from deepunlearn.data.splits import Indices, stratified

SUFFIXES = (".jpg", ".jpeg", ".png")
LAYOUT = "DIR/train/CLASS/*.jpg with DIR/test/CLASS/*.jpg, or DIR/CLASS/*.jpg (jpg, jpeg or png)"
OWN_TEST = "train and test"  # the fact that a folder has both
TEST_SEED = 123  # of the cut into training and test part; no option, so that everybody tests on the same images

AGE_GROUPS = ("0-19", "20-39", "40-59", "60-79", "80+")  # label = min(age // 20, 4)
OLDEST = 120
UTKFACE_NAME = re.compile(r"(\d{1,3})_.+")  # three of the official files lack the race, none the age


def root_of(config: DatasetConfig) -> Path:
    """The folder of the files. Raises ConfigError where dataset.root is not given."""
    if config.root is None:
        raise ConfigError(
            f"dataset {config.name} needs a folder: dataset.root is not given",
            given="dataset.root=null",
            allowed=LAYOUT if config.source == "folder" else "a folder",
            remedy="give dataset.root=DIR",
        )
    return Path(config.root).expanduser().absolute()


def held_out(config: DatasetConfig) -> float:
    """The share to cut off as test part. Raises ConfigError where it is needed and not given."""
    if config.test_ratio is None:
        raise ConfigError(
            f"dataset {config.name} as found has no test part of its own",
            given="dataset.test_ratio=null",
            allowed="a share between 0 and 1",
            remedy="give dataset.test_ratio=0.2, or provide DIR/train and DIR/test",
        )
    return config.test_ratio


# ------------------------------------------------------------------------------------------------------ class folders


def find_folder(config: DatasetConfig) -> Inventory:
    """The images below dataset.root, class after class. Raises DataError for what cannot be a dataset."""
    root = _existing(config)
    if _has_parts(root):
        classes = {part: _classes(root, part) for part in ("train", "test")}
        if classes["train"] != classes["test"]:
            raise _different_classes(root, classes["train"], classes["test"])
        files = [*_class_files(root, "train/", classes["train"]), *_class_files(root, "test/", classes["test"])]
        return Inventory(root, tuple(files), ("folder", OWN_TEST))
    files = _class_files(root, "", _classes(root, ""))
    return Inventory(root, tuple(files), ("folder", f"test_ratio={held_out(config)}"))


def read_folder(config: DatasetConfig, inventory: Inventory) -> RawData:
    """Training and test part; without folders of these names a stratified share is cut off for testing."""
    root, paths = inventory.root, [file.path for file in inventory.files]
    owners = [path.split("/")[-2] for path in paths]
    names = tuple(sorted(set(owners)))
    number = {name: index for index, name in enumerate(names)}
    labels = np.array([number[owner] for owner in owners], dtype=np.int64)
    if OWN_TEST in inventory.facts:
        test = np.flatnonzero([path.startswith("test/") for path in paths])
    else:
        test = stratified(labels, round(held_out(config) * len(paths)), np.random.RandomState(TEST_SEED), keep=1)
    return _cut(root, paths, labels, test, names)


def _existing(config: DatasetConfig) -> Path:
    root = root_of(config)
    if root.is_dir():
        return root
    raise MissingData(
        f"dataset {config.name}: there is no folder {root}",
        given=f"dataset.root={config.root}",
        allowed=LAYOUT,
        remedy="put the images there, or give dataset.root=DIR",
    )


def _has_parts(root: Path) -> bool:
    """Whether DIR/train holds class folders; with images in it, it is a class itself (there are trains to classify)."""
    return (root / "train").is_dir() and bool(subfolders(root / "train"))


def _classes(root: Path, part: str) -> list[str]:
    folder = root / part
    if not folder.is_dir():
        raise DataError(
            f"{root} has a folder train but none called {part}",
            allowed=LAYOUT,
            remedy=f"add {folder}, or move the class folders out of {root / 'train'} to have a test part cut off",
        )
    names = subfolders(folder)
    if len(names) < 2:
        raise DataError(
            f"{folder} has too few class folders",
            given=f"{len(names)} ({', '.join(names) or 'none'})",
            allowed="at least 2 folders, one per class",
            remedy=f"lay the images out as {LAYOUT}",
        )
    return names


def _class_files(root: Path, part: str, classes: Sequence[str]) -> list[FileStamp]:
    files = []
    for name in classes:
        found = stamps_of(root, part + name, SUFFIXES)
        if not found:
            raise DataError(
                f"the class folder {root / part / name} has no images",
                allowed=f"files ending in {', '.join(SUFFIXES)}",
                remedy=f"put images there or remove the folder; the layout is {LAYOUT}",
            )
        files += found
    return files


def _different_classes(root: Path, train: Sequence[str], test: Sequence[str]) -> DataError:
    only = [f"train/{name}" for name in train if name not in test]
    only += [f"test/{name}" for name in test if name not in train]
    return DataError(
        f"train and test in {root} have different classes",
        given=f"only one of them has {', '.join(only)}",
        allowed="the same class folders in both",
        remedy="add or remove these folders",
    )


# ------------------------------------------------------------------------------------------------------------ UTKFace


def find_utkface(config: DatasetConfig) -> Inventory:
    """The files of UTKFace (aligned and cropped) in dataset.root, sorted by name."""
    root = root_of(config)
    files = stamps_of(root, "", SUFFIXES) if root.is_dir() else []
    if not files:
        raise MissingData(
            f"dataset {config.name} is not there: no jpg or png files in {root}",
            allowed="files named AGE_GENDER_RACE_DATE.jpg.chip.jpg (the 23,708 aligned and cropped faces)",
            remedy=f"get UTKFace from https://susanqq.github.io/UTKFace/ (it is not downloaded for you) and unpack it "
            f"into {root}, or give dataset.root=DIR",
        )
    for file in files:
        age_group(file.path)
    return Inventory(root, tuple(files), ("utkface", f"test_ratio={held_out(config)}"))


def read_utkface(config: DatasetConfig, inventory: Inventory) -> RawData:
    """Age groups; the test part is the start of a fixed permutation of the sorted names (protocol section 2)."""
    paths = [file.path for file in inventory.files]
    labels = np.array([age_group(path) for path in paths], dtype=np.int64)
    order = np.random.RandomState(TEST_SEED).permutation(len(paths))
    return _cut(inventory.root, paths, labels, np.sort(order[: round(held_out(config) * len(paths))]), AGE_GROUPS)


def age_group(name: str) -> int:
    """The label of a file, min(age // 20, 4). Raises DataError where `name` does not start with an age."""
    match = UTKFACE_NAME.fullmatch(name)
    if match is None or int(match[1]) > OLDEST:
        raise DataError(
            f"the file name {name!r} does not start with an age",
            given=name,
            allowed=f"AGE_GENDER_RACE_DATE.jpg with an age from 0 to {OLDEST}",
            remedy="rename or remove the file; dataset.source=folder reads class folders instead",
        )
    return min(int(match[1]) // 20, len(AGE_GROUPS) - 1)


def _cut(
    root: Path, paths: Sequence[str], labels: npt.NDArray[np.int64], test: Indices, names: tuple[str, ...]
) -> RawData:
    files = [root / path for path in paths]
    train = np.setdiff1d(np.arange(len(files)), test)
    train_part, test_part = (RawPart(labels[part], ImageFiles([files[i] for i in part])) for part in (train, test))
    return RawData(train_part, test_part, names, channels=1 if all_grey(files) else 3)
