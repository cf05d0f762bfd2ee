"""The digits that scikit-learn carries."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.folders import TEST_SEED, held_out
from deepunlearn.data.images import RawData, RawPart
from deepunlearn.data.inventory import Inventory
from deepunlearn.data.splits import stratified


def find(config: DatasetConfig) -> Inventory:
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


def read(config: DatasetConfig, inventory: Inventory) -> RawData:
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
