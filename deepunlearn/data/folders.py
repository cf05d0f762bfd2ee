"""Datasets of image files: one folder per class, and UTKFace with its labels in the file names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError, DataError, MissingData
from deepunlearn.core.samples import Column, Indices
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data import attribute_file
from deepunlearn.data.endings import ORDINARY, SUFFIXES, counted
from deepunlearn.data.images import ImageFiles, RawData, RawPart, Remark, all_grey
from deepunlearn.data.inventory import FileStamp, Inventory, Listing, listing, no_root, stamp
from deepunlearn.data.splits import stratified

LAYOUT = f"DIR/train/CLASS/*.jpg with DIR/test/CLASS/*.jpg, or DIR/CLASS/*.jpg ({ORDINARY})"
OWN_TEST = "train and test"  # the fact that a folder has both
PARTS = ("train", "test")
OWN_TESTS = {  # source -> how its data have a test part of their own
    "folder": ", or provide DIR/train and DIR/test",
    "table": ", or provide DIR/train.csv and DIR/test.csv, and give dataset.root=DIR",
    "huggingface": ", or save a part called test beside it",
}
SHOWN = 5  # names in an error
TEST_SEED = 123  # of the cut into training and test part; no option, so that everybody tests on the same images

AGE_GROUPS = ("0-19", "20-39", "40-59", "60-79", "80+")  # label = min(age // 20, 4)
OLDEST = 120
GENDERS = ("male", "female")
ETHNICITIES = ("White", "Black", "Asian", "Indian", "other")
UTKFACE_NAME = re.compile(r"(\d{1,3})_.+")  # three of the official files lack the race, none the age


def root_of(config: DatasetConfig) -> Path:
    """The folder of the files. Raises ConfigError where dataset.root is not given."""
    if config.root is None:
        raise no_root(config, LAYOUT if config.source == "folder" else "a folder")
    return Path(config.root).expanduser().absolute()


def held_out(config: DatasetConfig) -> float:
    """The share to cut off as test part. Raises ConfigError where it is needed and not given."""
    if config.test_ratio is None:
        raise ConfigError(
            f"dataset {config.name} as found has no test part of its own",
            given="dataset.test_ratio=null",
            allowed="a share between 0 and 1",
            remedy="give dataset.test_ratio=0.2" + OWN_TESTS.get(config.source, ""),
        )
    return config.test_ratio


# ------------------------------------------------------------------------------------------------------ class folders


def find_folder(config: DatasetConfig) -> Inventory:
    """The images below dataset.root, class after class. Raises DataError for what cannot be a dataset."""
    root = _existing(config)
    top = listing(root, "", SUFFIXES)
    own_test = _has_parts(root, top)
    parts = {part: _part(root, part) for part in (PARTS if own_test else ("",))}
    if own_test and parts["train"].folders != parts["test"].folders:
        raise _different_classes(root, parts["train"].folders, parts["test"].folders)
    left_out = _loose(top, "", PARTS) if own_test else []
    files: list[FileStamp] = []
    for part, inside in parts.items():
        _check_names(root / part, inside.folders)
        left_out += _loose(inside, part, inside.folders)
        for name in inside.folders:
            listed = _class(root, f"{part}/{name}" if part else name)
            files += listed.images
            left_out += [*listed.others, *_subfolders(listed, f"{part}/{name}" if part else name)]
    cut = OWN_TEST if own_test else f"test_ratio={held_out(config)}"
    if attribute_file.NAME in top.others:
        files.append(stamp(root, attribute_file.NAME))
        left_out.remove(attribute_file.NAME)
    return Inventory(root, tuple(files), ("folder", cut, f"background={config.background}"), tuple(left_out))


def read_folder(config: DatasetConfig, inventory: Inventory) -> RawData:
    """Training and test part; without folders of these names a stratified share is cut off for testing."""
    root, files = inventory.root, [file.path for file in inventory.files]
    paths = [path for path in files if path != attribute_file.NAME]
    owners = [path.split("/")[-2] for path in paths]
    names = tuple(sorted(set(owners)))
    number = {name: index for index, name in enumerate(names)}
    labels = np.array([number[owner] for owner in owners], dtype=np.int64)
    if OWN_TEST in inventory.facts:
        test = np.flatnonzero([path.startswith("test/") for path in paths])
    else:
        test = stratified(labels, round(held_out(config) * len(paths)), np.random.RandomState(TEST_SEED), keep=1)
    columns = attribute_file.read_columns(root, paths) if len(files) > len(paths) else {}
    return _cut(config, root, paths, labels, test, names, columns)


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


def _has_parts(root: Path, top: Listing) -> bool:
    """Whether DIR/train holds class folders; with images in it, it is a class itself (there are trains to classify)."""
    return "train" in top.folders and bool(listing(root, "train", SUFFIXES).folders)


def _part(root: Path, part: str) -> Listing:
    folder = root / part
    if not folder.is_dir():
        raise DataError(
            f"{root} has a folder train but none called {part}",
            given=f"{root / 'train'}",
            allowed=LAYOUT,
            remedy=f"add {folder}, or move the class folders out of {root / 'train'} to have a test part cut off",
        )
    listed = listing(root, part, SUFFIXES)
    if len(listed.folders) < 2:
        raise DataError(
            f"{folder} has too few class folders",
            given=f"{len(listed.folders)} ({', '.join(listed.folders) or 'none'})",
            allowed="at least 2 folders, one per class",
            remedy=f"lay the images out as {LAYOUT}",
        )
    return listed


def _check_names(folder: Path, names: Sequence[str]) -> None:
    """Raises DataError for class folders whose names are no text: results name their classes."""
    strange = [name for name in names if name != name.encode(errors="replace").decode()]
    if strange:
        raise DataError(
            f"names of class folders in {folder} are not UTF-8",
            given=", ".join(repr(os.fsencode(name)) for name in strange[:SHOWN]),
            allowed="names of classes in UTF-8",
            remedy="rename these folders; from Latin-1 all at once: convmv -f latin1 -t utf8 -r --notest DIR",
        )


def _class(root: Path, folder: str) -> Listing:
    listed = listing(root, folder, SUFFIXES)
    if not listed.images:
        others = [*listed.others, *_subfolders(listed, folder)]
        raise DataError(
            f"the class folder {root / folder} has no images",
            given=counted(others) if others else "an empty folder",
            allowed=f"image files: {ORDINARY}",
            remedy=f"put images there, convert those that are there, or remove the folder; the layout is {LAYOUT}",
        )
    return listed


def _loose(listed: Listing, folder: str, used: Sequence[str]) -> list[str]:
    """What is not read of a folder that should hold only the folders `used`."""
    images = [image.path for image in listed.images]
    return [*listed.others, *images, *(name for name in _subfolders(listed, folder) if name.split("/")[-2] not in used)]


def _subfolders(listed: Listing, folder: str) -> list[str]:
    prefix = f"{folder}/" if folder else ""
    return [f"{prefix}{name}/" for name in listed.folders]


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
    listed = listing(root, "", SUFFIXES) if root.is_dir() else Listing([], [], [])
    if not listed.images:
        raise MissingData(
            f"dataset {config.name} is not there: no image files in {root}",
            given=f"dataset.root={config.root}",
            allowed="files named AGE_GENDER_RACE_DATE.jpg.chip.jpg (the 23,708 aligned and cropped faces)",
            remedy=f"get UTKFace from https://susanqq.github.io/UTKFace/ (it is not downloaded for you) and unpack it "
            f"into {root}, or give dataset.root=DIR",
        )
    for file in listed.images:
        age_group(file.path)
    facts = ("utkface", f"test_ratio={held_out(config)}", f"background={config.background}")
    return Inventory(root, tuple(listed.images), facts, (*listed.others, *_subfolders(listed, "")))


def read_utkface(config: DatasetConfig, inventory: Inventory) -> RawData:
    """Age groups; the test part is the start of a fixed permutation of the sorted names (protocol section 2)."""
    paths = [file.path for file in inventory.files]
    labels = np.array([age_group(path) for path in paths], dtype=np.int64)
    order = np.random.RandomState(TEST_SEED).permutation(len(paths))
    test = np.sort(order[: round(held_out(config) * len(paths))])
    return _cut(config, inventory.root, paths, labels, test, AGE_GROUPS, _told_by_names(paths))


def _told_by_names(paths: Sequence[str]) -> dict[str, Column]:
    """Age, gender and ethnicity as the names have them, "" where a name has none."""
    fields = [path.split("_") for path in paths]

    def named(place: int, names: Sequence[str]) -> Column:
        number = {str(number): name for number, name in enumerate(names)}
        return np.array([number.get(one[place], "") for one in fields], dtype=np.str_)

    ages = np.array([int(one[0]) for one in fields], dtype=np.int64)
    return {"age": ages, "gender": named(1, GENDERS), "ethnicity": named(2, ETHNICITIES)}


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


def _cut(  # noqa: PLR0917 - what a folder's reader has found, and where it is cut
    config: DatasetConfig,
    root: Path,
    paths: Sequence[str],
    labels: npt.NDArray[np.int64],
    test: Indices,
    names: tuple[str, ...],
    columns: Mapping[str, Column],
) -> RawData:
    remarks: dict[Remark, list[str]] = {}

    def part(rows: Indices) -> RawPart:
        own = [paths[row] for row in rows]
        known = {name: column[rows] for name, column in columns.items()}
        return RawPart(labels[rows], ImageFiles(root, own, config.background, remarks), own, known)

    channels = 1 if all_grey(root / path for path in paths) else 3
    train = np.setdiff1d(np.arange(len(paths)), test)
    return RawData(part(train), part(test), names, channels, remarks)
