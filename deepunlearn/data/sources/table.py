"""A table in a file of one's own, or two: CSV, Parquet, ARFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deepunlearn.core.errors import DataError, MissingData
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.folders import held_out
from deepunlearn.data.images import RawData
from deepunlearn.data.inventory import Inventory, no_root, stamp
from deepunlearn.data.table_files import ENDINGS, GIVEN, check_ending, facts, read_table

READS = "tables"
PARTS = ("train", "test")
LAYOUT = f"{GIVEN}; or a folder with such files train and test"


def find(config: DatasetConfig) -> Inventory:
    """dataset.root, or the files train and test in it. Raises ConfigError, DataError, MissingData."""
    if config.root is None:
        raise no_root(config, LAYOUT)
    root = Path(config.root).expanduser().absolute()
    files = _parts(root) if root.is_dir() else (root,)
    if not all(file.is_file() for file in files):
        raise MissingData(
            f"dataset {config.name}: there is no file {root}",
            given=f"dataset.root={config.root}",
            allowed=LAYOUT,
            remedy="give dataset.root=FILE",
        )
    for file in files:
        check_ending(file)
    cut = "train and test" if len(files) > 1 else f"test_ratio={held_out(config)}"
    stamps = tuple(stamp(files[0].parent, file.name) for file in files)
    return Inventory(files[0].parent, stamps, ("table", cut, *facts(config)))


def _parts(root: Path) -> tuple[Path, ...]:
    """The files train and test of a folder."""
    found = [[root / f"{part}{ending}" for ending in ENDINGS if (root / f"{part}{ending}").is_file()] for part in PARTS]
    if all(len(files) == 1 for files in found):
        return tuple(files[0] for files in found)
    shown = [
        ", ".join(file.name for file in files) or f"no file {part}" for part, files in zip(PARTS, found, strict=True)
    ]
    raise MissingData(
        f"the folder {root} has not one table train and one test",
        given="; ".join(shown),
        allowed=LAYOUT,
        remedy="give dataset.root=FILE to have a test part cut off, or put both files there, one of each",
    )


def read(config: DatasetConfig, inventory: Inventory) -> RawData:
    """All columns; rows of a file test are counted on behind those of train."""
    tables = [read_table(inventory.root / file.path) for file in inventory.files]
    from deepunlearn.data.tables import table_data  # noqa: PLC0415 - pyarrow

    if len(tables) == 1:
        return table_data(config, tables[0], None)
    rows = [table.num_rows for table in tables]
    return table_data(config, _joined(inventory, tables), None, np.arange(rows[0], sum(rows)))


def _joined(inventory: Inventory, tables: list[Any]) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - half a second, and only needed while decoding

    train, test = (set(table.column_names) for table in tables)
    if train != test:
        raise _apart(inventory, f"only one of them has {', '.join(sorted(train ^ test)[:5])}")
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (TypeError, pa.ArrowException) as error:
        raise _apart(inventory, str(error)) from error


def _apart(inventory: Inventory, given: str) -> DataError:
    return DataError(
        f"the tables train and test in {inventory.root} do not fit together",
        given=given[:300],
        allowed="the same columns in both, of the same kinds",
        remedy="correct the names in the first lines, or the values of the column that is named",
    )
