"""CelebA in its own files: aligned faces, and lists of attributes, persons and parts. One attribute is the target.

torchvision's reader wants lists that nobody needs here (boxes, landmarks) and takes half a minute to parse them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError, DataError, unknown
from deepunlearn.core.samples import Indices
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.folders import TEST_SEED
from deepunlearn.data.images import ImageFiles, RawData, RawPart, Remark
from deepunlearn.data.inventory import Inventory, unfit
from deepunlearn.data.splits import stratified
from deepunlearn.data.torchvision_files import Parts

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "celeba/img_align_celeba"
ATTRIBUTES, IDENTITIES, PARTITION = (
    f"celeba/{name}" for name in ("list_attr_celeba.txt", "identity_CelebA.txt", "list_eval_partition.txt")
)
LISTS = (ATTRIBUTES, IDENTITIES, PARTITION)
TRAIN, TEST = 0, 2  # in the list of parts; 1 is a validation part, which we cut ourselves
SHOWN = 5  # names in an error


class Lists(NamedTuple):
    """What the lists say, row by row of the list of parts."""

    names: npt.NDArray[np.str_]  # of the files
    parts: npt.NDArray[np.int64]
    identities: npt.NDArray[np.int64]
    attributes: pd.DataFrame  # -1 or 1, a column for each


def read_celeba(config: DatasetConfig, inventory: Inventory, parts: Parts) -> RawData:
    """The published parts, or all pictures of which `dataset.test_ratio` is cut off as test part.

    Raises ConfigError (target), DataError (a list that cannot be read or does not agree with the others).
    """
    lists = _lists(config, inventory)
    if config.target is None or config.target not in lists.attributes:
        raise _no_target(config, list(lists.attributes.columns))
    labels = (lists.attributes[config.target].to_numpy() == 1).astype(np.int64)
    train, test = _cut(config, lists.parts, labels)
    present = (lists.attributes == 1).astype(np.int64)  # 0 and 1, as torchvision has them
    columns = {"identity": lists.identities, **{str(name): present[name].to_numpy() for name in present}}
    remarks: dict[Remark, list[str]] = {}

    def part(rows: Indices) -> RawPart:
        own = [str(name) for name in lists.names[rows]]
        images = ImageFiles(inventory.root / FOLDER, own, config.background, remarks)
        return RawPart(labels[rows], images, own, {name: column[rows] for name, column in columns.items()})

    names = (f"not {config.target}", config.target)
    return RawData(part(train), part(test), names, channels=3, remarks=remarks)


def _cut(config: DatasetConfig, parts: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> tuple[Indices, Indices]:
    if config.test_ratio is None:
        return np.flatnonzero(parts == TRAIN), np.flatnonzero(parts == TEST)
    count = round(config.test_ratio * len(labels))
    test = stratified(labels, count, np.random.RandomState(TEST_SEED), keep=1)
    return np.setdiff1d(np.arange(len(labels)), test), test


def _lists(config: DatasetConfig, inventory: Inventory) -> Lists:
    parts, identities = (_column(inventory, file) for file in (PARTITION, IDENTITIES))
    attributes = _table(inventory, ATTRIBUTES)
    names = parts.index
    images = {file.path.removeprefix(f"{FOLDER}/") for file in inventory.files if file.path.startswith(FOLDER)}
    for file, listed in ((IDENTITIES, identities.index), (ATTRIBUTES, attributes.index), (FOLDER, images)):
        _same_names(config, inventory, names, file, listed)
    order = attributes if attributes.index.equals(names) else attributes.loc[names]
    persons = np.asarray(identities.loc[names], dtype=np.int64)
    return Lists(names.to_numpy(dtype=np.str_), np.asarray(parts, dtype=np.int64), persons, order)


def _same_names(config: DatasetConfig, inventory: Inventory, names: pd.Index, file: str, listed: object) -> None:
    given = set(listed)  # type: ignore[call-overload]
    for missing, from_, in_ in ((set(names) - given, PARTITION, file), (given - set(names), file, PARTITION)):
        if missing:
            shown = ", ".join(sorted(missing)[:SHOWN])
            said = f"{len(missing):,} pictures of {from_} are not in {in_}: {shown}"
            raise unfit(config, inventory, said, f"the same file names in {', '.join(LISTS)} and {FOLDER}")


def _column(inventory: Inventory, file: str) -> pd.Series[int]:
    """The numbers of a list with two columns, by file name."""
    import pandas as pd  # noqa: PLC0415 - only needed while decoding

    parsed = _parsed(inventory.root / file, header=None)
    if parsed.shape[1] != 1 or not pd.api.types.is_integer_dtype(parsed.iloc[:, 0]):
        raise _unreadable(inventory.root / file, "no list of FILE NUMBER", "000001.jpg 2880")
    return parsed.iloc[:, 0]


def _table(inventory: Inventory, file: str) -> pd.DataFrame:
    table = _parsed(inventory.root / file, skiprows=1)
    if not table.shape[1] or not table.isin([-1, 1]).all(axis=None):
        raise _unreadable(inventory.root / file, "values other than -1 and 1", "000001.jpg -1 1 ... below the names")
    return table


def _parsed(path: Path, **options: object) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - only needed while decoding

    try:
        parsed = pd.read_csv(path, sep=r"\s+", index_col=0, dtype={0: str}, **options)  # type: ignore[call-overload]
    except (ValueError, OSError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}", "a list as CelebA has it") from error
    twice = parsed.index[parsed.index.duplicated()]
    if len(twice):
        raise _unreadable(path, f"named twice: {', '.join(map(str, twice[:SHOWN]))}", "each picture once")
    frame: pd.DataFrame = parsed
    return frame


def _unreadable(path: Path, given: str, allowed: str) -> DataError:
    return DataError(
        f"{path} cannot be read as a list of CelebA",
        given=given,
        allowed=allowed,
        remedy="restore the file from its source",
    )


def _no_target(config: DatasetConfig, names: list[str]) -> ConfigError:
    if config.target is not None:
        return unknown("attribute of CelebA (dataset.target)", config.target, names)
    return ConfigError(
        "CelebA has 40 attributes and dataset.target does not say which is to be learnt",
        given="dataset.target=null",
        allowed=", ".join(names),
        remedy="give e.g. dataset.target=Smiling",
    )
