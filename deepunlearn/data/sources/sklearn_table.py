"""The tables that scikit-learn carries: iris, wine, breast cancer."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.folders import held_out
from deepunlearn.data.images import RawData
from deepunlearn.data.inventory import Inventory
from deepunlearn.data.table_files import facts

READS = "tables"
TARGET = "class"
LOADERS = {"iris": "load_iris", "wine": "load_wine", "breast_cancer": "load_breast_cancer"}


def find(config: DatasetConfig) -> Inventory:
    """No files of ours: scikit-learn carries them, its version names them."""
    if config.name not in LOADERS:
        raise ConfigError(
            f"dataset {config.name} is no table of scikit-learn",
            given="dataset.source=sklearn_table",
            allowed=", ".join(f"dataset={name}" for name in LOADERS),
            remedy="give dataset=table dataset.root=FILE dataset.target=COLUMN",
        )
    version = metadata.version("scikit-learn")
    said = ("scikit-learn", version, config.name, f"test_ratio={held_out(config)}")
    return Inventory(Path(), (), (*said, *facts(config)))


def read(config: DatasetConfig, inventory: Inventory) -> RawData:
    """All columns, and the names of the classes as column `class`; a stratified share is cut off for testing."""
    import pyarrow as pa  # noqa: PLC0415 - only needed while decoding
    from sklearn import datasets  # noqa: PLC0415 - a second

    from deepunlearn.data.tables import table_data  # noqa: PLC0415

    bunch = getattr(datasets, LOADERS[config.name])()
    columns = {str(name): bunch.data[:, number] for number, name in enumerate(bunch.feature_names)}
    classes = np.asarray(bunch.target_names, dtype=np.str_)[bunch.target]
    return table_data(config, pa.table({**columns, TARGET: classes.tolist()}), TARGET)
