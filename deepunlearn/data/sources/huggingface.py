"""Hugging Face datasets: a folder that `save_to_disk` wrote, or a name on the hub, which is saved so first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError, DataError, MissingData, unknown
from deepunlearn.core.paths import publish_folder
from deepunlearn.core.samples import EXACT, Column, Indices
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.core.store import draft_name
from deepunlearn.data.attribute_file import column_of
from deepunlearn.data.folders import TEST_SEED, held_out, root_of
from deepunlearn.data.images import Pixels, RawData, RawPart, Remark, Stored, all_grey, decode
from deepunlearn.data.inventory import FileStamp, Inventory, stamp, unfit
from deepunlearn.data.splits import stratified

PARTS_FILE, PART_FILE = "dataset_dict.json", "state.json"  # what save_to_disk leaves of several parts, and in each
TRAIN = "train"
TESTS = ("test", "validation", "valid", "val")  # which part tests, the first that there is
INSTALL = 'pip install "deepunlearn[huggingface]"'


def find(config: DatasetConfig) -> Inventory:
    """The files of the parts that are read, saved from the hub first if missing and dataset.download=true."""
    folder = _folder(config)
    if config.download and not _is_saved(folder):
        _save(config, folder)
    if not _is_saved(folder):
        raise MissingData(
            f"dataset {config.name} is not there: no folder {folder} that datasets saved",
            given=f"dataset.path={config.path}",
            allowed=f"a folder written by save_to_disk (with {PARTS_FILE} or {PART_FILE}), or a name on the hub",
            remedy="correct dataset.path, or give dataset.download=true to have it saved from the hub",
        )
    parts = _parts(config, folder)
    files = [found for part in dict.fromkeys(parts) for found in _files(folder, part)]
    cut = () if len(parts) == 2 else (f"test_ratio={held_out(config)}",)
    chosen = f"image={config.image}", f"target={config.target}", f"background={config.background}"
    return Inventory(folder, tuple(files), ("huggingface", "/".join(parts), *cut, *chosen))


def read(config: DatasetConfig, inventory: Inventory) -> RawData:
    """Images and labels by the types of the columns; all other columns of plain values are attributes."""
    with _naming_damage(config, inventory):
        tables = [_table(inventory.root / part) for part in _parts(config, inventory.root)]
        columns = _columns(config, inventory, tables)
        classes = _classes(config, inventory, columns.label, tables)
        reading = Reading(config, columns, classes, {})
        parts = [_part(reading, *one) for one in zip(tables, _parts(config, inventory.root), strict=True)]
    train, test = parts if len(parts) == 2 else _cut(config, parts[0])
    grey = all_grey(image for part in parts for image in _images(part).stored())
    return RawData(train, test, classes.names, channels=1 if grey else 3, remarks=reading.remarks)


# --------------------------------------------------------------------------------------------------- folders and parts


def _folder(config: DatasetConfig) -> Path:
    if config.path is None:
        raise ConfigError(
            f"dataset {config.name} is a Hugging Face dataset and dataset.path does not say which",
            given="dataset.path=null",
            allowed="a folder that save_to_disk wrote, or a name on the hub",
            remedy="give dataset.path=DIR, or e.g. dataset.path=uoft-cs/cifar10 dataset.download=true",
        )
    given = Path(config.path).expanduser().absolute()
    if given.is_dir() or Path(config.path).is_absolute():
        return given
    return root_of(config) / "huggingface" / config.path / str(config.subset or "")


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (PARTS_FILE, PART_FILE))


def _save(config: DatasetConfig, folder: Path) -> None:
    """Save what the hub has, whole or not at all."""
    datasets = _library()
    draft = folder.with_name(draft_name(folder.name))
    try:
        found = datasets.load_dataset(config.path, None if config.subset is None else str(config.subset))
        found.save_to_disk(draft)
        publish_folder(draft, folder, _is_saved)
    except Exception as error:  # the hub's client raises what the network, the server and the file formats raise
        raise DataError(
            f"the download of dataset {config.name} to {folder} failed",
            given=f"{type(error).__name__}: {error}",
            allowed="a name on the hub, and dataset.subset where it has several configurations",
            remedy="try again, or save it with save_to_disk on a machine with network access and give dataset.path=DIR",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _parts(config: DatasetConfig, folder: Path) -> tuple[str, ...]:
    """The folders of the training and the test part; one alone where the test part is to be cut off it."""
    if not (folder / PARTS_FILE).is_file():
        _refuse_parts(config, folder)
        return ("",)
    there = _json(folder / PARTS_FILE, "splits")
    train = config.train_part or (there[0] if len(there) == 1 else TRAIN)
    test = config.test_part or next((name for name in TESTS if name in there and name != train), None)
    for option, part in (("train_part", train), ("test_part", test)):
        if part is not None and part not in there:
            raise unknown(f"part of {folder} (dataset.{option})", part, there)
    return (train,) if test is None else (train, test)


def _refuse_parts(config: DatasetConfig, folder: Path) -> None:
    """Raises ConfigError where a part is named that a folder without names of parts cannot have."""
    options = {"train_part": config.train_part, "test_part": config.test_part}
    given = [f"dataset.{option}={part}" for option, part in options.items() if part is not None]
    if given:
        raise ConfigError(
            f"dataset {config.name} in {folder} is one part, saved without a name",
            given=" ".join(given),
            allowed="names of parts where several were saved together",
            remedy=f"leave {' and '.join(one.partition('=')[0] for one in given)} out to have a test part cut off, or "
            "save both parts: datasets.DatasetDict(train=..., test=...).save_to_disk(DIR)",
        )


def _files(folder: Path, part: str) -> list[FileStamp]:
    names = [
        PART_FILE,
        "dataset_info.json",
        *(one["filename"] for one in _json(folder / part / PART_FILE, "_data_files")),
    ]
    return [stamp(folder, f"{part}/{name}" if part else name) for name in names]


def _json(path: Path, entry: str) -> list[Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))[entry]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read",
            given=f"{type(error).__name__}: {error}",
            allowed="what save_to_disk writes",
            remedy="save the dataset again",
        ) from error
    return list(found)


# ------------------------------------------------------------------------------------------------------------- columns


class Chosen(NamedTuple):
    """Names of columns."""

    image: str
    label: str
    others: list[str]  # of plain values
    long: frozenset[str]  # those of them whose numbers are kept as texts


class Classes(NamedTuple):
    """Their names, and what stands for each in the label column."""

    names: tuple[str, ...]
    values: list[Any]


class Reading(NamedTuple):
    """What all parts are read by."""

    config: DatasetConfig
    columns: Chosen
    classes: Classes
    remarks: dict[Remark, list[str]]  # filled while images are decoded


def _library() -> Any:
    try:
        import datasets  # noqa: PLC0415 - an extra, and seconds
    except ImportError as error:
        raise ConfigError(
            "Hugging Face datasets cannot be read: datasets is not installed",
            given=str(error),
            allowed="datasets",
            remedy=f"install it: {INSTALL}",
        ) from error
    return datasets


def _table(folder: Path) -> Any:
    return _library().Dataset.load_from_disk(str(folder))


def _columns(config: DatasetConfig, inventory: Inventory, tables: Sequence[Any]) -> Chosen:
    """What is looked at: the one column of images, the one of classes, where they are not named."""
    datasets, features = _library(), tables[0].features
    if len(tables) == 2 and tables[0].features != tables[1].features:
        said = f"{list(tables[0].features)} in training and {list(tables[1].features)} in test, or other types"
        raise unfit(config, inventory, said, "the same columns in both parts")
    image = _one(config, inventory, features, "image", datasets.Image)
    label = _one(config, inventory, features, "target", datasets.ClassLabel)
    plain = (datasets.Value, datasets.ClassLabel)
    others = [name for name, kind in features.items() if name != label and isinstance(kind, plain)]
    return Chosen(image, label, others, frozenset(name for name in others if _is_long(tables, name)))


def _one(config: DatasetConfig, inventory: Inventory, features: Mapping[str, Any], option: str, kind: type) -> str:
    """The column that dataset.OPTION names, or the only one of type `kind`."""
    given = getattr(config, option)
    if given is not None:
        if given not in features:
            raise unknown(f"column (dataset.{option})", given, features)
        if option == "image" and not isinstance(features[given], kind):
            raise unfit(config, inventory, f"column {given} is {features[given]}", "a column of images")
        return str(given)
    found = [name for name, one in features.items() if isinstance(one, kind)]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(f"{name} ({type(one).__name__})" for name, one in features.items())
    what = {"image": "images", "target": "classes"}[option]
    raise ConfigError(
        f"dataset {config.name} has {len(found) or 'no'} columns of {what}",
        given=f"the columns {shown}",
        allowed=f"one column of type {kind.__name__}" + (", or any of numbers or texts" if option == "target" else ""),
        remedy=f"give dataset.{option}=COLUMN" if found or option == "target" else "read another dataset",
    )


def _classes(config: DatasetConfig, inventory: Inventory, label: str, tables: Sequence[Any]) -> Classes:
    kind = tables[0].features[label]
    if isinstance(kind, _library().ClassLabel):
        _refuse_empty(config, inventory, label, tables[0])
        return Classes(tuple(kind.names), list(range(len(kind.names))))
    if not isinstance(kind, _library().Value):
        raise unfit(config, inventory, f"column {label} is {kind}", "a column of classes, numbers or texts")
    values = sorted({value for table in tables for value in table.unique(label) if value is not None})
    return Classes(tuple(map(str, values)), values)


def _refuse_empty(config: DatasetConfig, inventory: Inventory, label: str, train: Any) -> None:
    """Raises DataError for classes that were filtered out and kept their names."""
    names, there = train.features[label].names, set(train.unique(label))
    empty = [name for number, name in enumerate(names) if number not in there]
    if empty and there <= set(range(len(names))):  # else some images have no label, which is told of all of them
        raise DataError(
            f"dataset {config.name} in {inventory.root} has names of classes without images",
            given=f"no training image of class {', '.join(empty[:10])}",
            allowed="at least one training image per class",
            remedy="save it with the classes that are left, numbered anew: "
            f'DATA.cast_column("{label}", datasets.Value("int64")).class_encode_column("{label}").save_to_disk(DIR)',
        )


# -------------------------------------------------------------------------------------------------------------- a part


class Pictures:
    """The images of rows of a table, decoded as they are iterated over."""

    def __init__(self, table: Any, part: str, reading: Reading) -> None:
        self._table, self._part, self._reading = table, part, reading

    def rows(self, rows: Indices) -> Pictures:
        return Pictures(self._table.select(rows), self._part, self._reading)

    def stored(self) -> Iterator[Stored]:
        image = self._reading.columns.image
        for number, row in enumerate(self._table.select_columns([image])):
            found = row[image] or {"bytes": None, "path": None}
            name = found["path"] or f"image {number} of {self._part or 'the dataset'}"
            yield Stored(name, found["bytes"])

    def __iter__(self) -> Iterator[Pixels]:
        for one in self.stored():
            done: list[Remark] = []
            yield decode(one, self._reading.config.background, done)
            for remark in done:
                self._reading.remarks.setdefault(remark, []).append(one.name)


def _part(reading: Reading, table: Any, name: str) -> RawPart:
    image = reading.columns.image
    undecoded = table.cast_column(image, _library().Image(decode=False))
    pictures, names = Pictures(undecoded, name, reading), _names(undecoded, image)
    return RawPart(_labels(reading, table, name), pictures, names, _attributes(reading.columns, table))


def _names(table: Any, image: str) -> list[str] | None:
    """Names of the files that the images were, where each has one of its own."""
    import pyarrow.compute  # noqa: PLC0415 - only needed while decoding

    names = pyarrow.compute.struct_field(table.data.column(image), "path").to_pylist()
    return None if None in names or len(set(names)) < len(names) else names


def _labels(reading: Reading, table: Any, part: str) -> npt.NDArray[np.int64]:
    label = reading.columns.label
    values = table[label][:]
    number = {value: at for at, value in enumerate(reading.classes.values)}
    labels = np.array([number.get(value, -1) for value in values], dtype=np.int64)
    if missing := int((labels < 0).sum()):
        where = f"part {part}" if part else "the dataset"
        raise DataError(
            f"{where} of dataset {reading.config.name} has images without a label",
            given=f"{missing:,} of {len(labels):,} labels in column {label} are missing or -1",
            allowed="a label for every image",
            remedy="test parts of competitions have none: give dataset.test_part=validation, or another dataset.target",
        )
    return labels


def _attributes(columns: Chosen, table: Any) -> dict[str, Column]:
    frame = table.select_columns(columns.others).to_pandas()
    made = {}
    for name in columns.others:
        kind = table.features[name]
        named = isinstance(kind, _library().ClassLabel)
        known = dict(enumerate(kind.names)) if named else {}
        if name in columns.long:
            frame[name] = np.array(["" if value is None else str(value) for value in table[name][:]])
        made[name] = column_of(frame[name].map(known) if named else frame[name])
    return made


def _is_long(tables: Sequence[Any], name: str) -> bool:
    """Whether numbers of a column would be rounded: beyond int64, or beyond 2^53 with gaps, which make floats of them.

    Of both parts, so that these have one type.
    """
    if not tables[0].features[name].dtype.startswith(("int", "uint")):
        return False
    values = {value for table in tables for value in table.unique(name)}
    least = EXACT if None in values else 2**63
    return any(value is not None and (value >= least or -value > least) for value in values)


def _images(part: RawPart) -> Pictures:
    assert isinstance(part.images, Pictures)
    return part.images


def _cut(config: DatasetConfig, whole: RawPart) -> tuple[RawPart, RawPart]:
    """A stratified share for testing, where there is one part only."""
    count = round(held_out(config) * len(whole.labels))
    test = stratified(whole.labels, count, np.random.RandomState(TEST_SEED), keep=1)

    def part(rows: Indices) -> RawPart:
        columns = {name: column[rows] for name, column in whole.columns.items()}
        names = None if whole.names is None else [whole.names[row] for row in rows]
        return RawPart(whole.labels[rows], _images(whole).rows(rows), names, columns)

    return part(np.setdiff1d(np.arange(len(whole.labels)), test)), part(test)


@contextmanager
def _naming_damage(config: DatasetConfig, inventory: Inventory) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:  # what datasets and Arrow raise on damaged files
        raise unfit(config, inventory, f"{type(error).__name__}: {error}", "what save_to_disk writes") from error
