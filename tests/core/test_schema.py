"""The shipped YAML says what the protocol says (sections 2 and 4)."""

from __future__ import annotations

import pytest
import yaml

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import shipped
from deepunlearn.core.schema import OF_HUB, OF_IMAGES, OF_TABLES, CellConfig, DatasetConfig, TrainConfig
from deepunlearn.core.validation import validate
from deepunlearn.forget.halves import HalvesForget
from deepunlearn.forget.random import RandomForget

NAMES = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "utkface", "folder")
TABLES = {"iris": 16, "wine": 16, "breast_cancer": 16, "table": 64, "uci": 64, "openml": 64}  # and batch size
OF_CELEBA = ("persons",)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# classes, image size, crop padding, flip, (mean, std)
DATASETS = {
    "digits": (10, 32, 0, False, (None, None)),
    "mnist": (10, 32, 0, False, ((0.1307,) * 3, (0.3081,) * 3)),
    "fashion_mnist": (10, 32, 0, True, ((0.2860,) * 3, (0.3530,) * 3)),
    "cifar10": (10, 32, 4, True, ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))),
    "cifar100": (100, 32, 4, True, ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))),
    "utkface": (5, 224, 0, False, IMAGENET),
    "folder": (None, 32, 0, False, (None, None)),
}
# epochs, learning rate, batch size
RECIPES = {
    "digits": (15, 0.05, 64),
    "mnist": (50, 0.1, 256),
    "fashion_mnist": (50, 0.1, 256),
    "cifar10": (182, 0.1, 256),
    "cifar100": (182, 0.1, 256),
    "utkface": (50, 0.1, 128),
    "folder": (15, 0.05, 64),
}


def read(group: str, name: str) -> dict:
    return yaml.safe_load((shipped("conf") / group / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_datasets(name):
    """Every option can be seen in the file."""
    values = read("dataset", name)
    assert set(values) == set(DatasetConfig.model_fields) - {"module", *OF_CELEBA, *OF_HUB, *OF_TABLES}
    config = validate(DatasetConfig, values, "dataset")
    found = (config.classes, config.image_size, config.crop_padding, config.flip, (config.mean, config.std))
    assert found == DATASETS[name]
    assert (config.name, config.val_ratio, config.split_seed) == (name, 0.15, 123)
    assert (config.limit, config.download) == (None, False)
    assert config.max_batch_size == (128 if name == "utkface" else None)


@pytest.mark.parametrize("name", NAMES)
def test_recipes(name):
    config = validate(TrainConfig, read("train", name), "train")
    assert (config.epochs, config.lr, config.batch_size) == RECIPES[name]
    assert (config.momentum, config.weight_decay) == (0.9, 5e-4)


@pytest.mark.parametrize("name", TABLES)
def test_tables_show_their_own_options_and_none_of_images(name):
    values = read("dataset", name)
    sizes = {"train_images", "test_images"}
    assert set(values) == set(DatasetConfig.model_fields) - {"module", *OF_CELEBA, *OF_IMAGES, *sizes}
    assert validate(DatasetConfig, values, "dataset").is_table
    assert validate(TrainConfig, read("train", name), "train").batch_size == TABLES[name]


@pytest.mark.parametrize("option", [{"flip": True}, {"crop_padding": 4}, {"mean": [0.5], "std": [0.2]}])
def test_what_images_have_is_taught_for_a_table(option):
    with pytest.raises(ConfigError) as error:
        validate(DatasetConfig, {**read("dataset", "iris"), **option}, "dataset")
    assert "iris is a table" in str(error.value)
    assert all(f"dataset.{name}" in str(error.value.remedy) for name in option)


def test_what_tables_have_is_taught_for_images():
    with pytest.raises(ConfigError, match=r"digits is images") as error:
        validate(DatasetConfig, {**read("dataset", "digits"), "missing": "mean"}, "dataset")
    assert error.value.remedy == "leave dataset.missing out"


def test_a_network_for_images_is_refused_for_a_table():
    arch = {"name": "resnet18", "title": "", "module": "deepunlearn.archs.resnet"}
    cell = {"dataset": read("dataset", "iris"), "train": read("train", "iris"), "forget": read("forget", "random")}
    with pytest.raises(ConfigError, match="resnet18 takes images, and dataset iris is a table") as error:
        validate(CellConfig, {**cell, "arch": arch, "precision": "fp32"}, "cell")
    assert error.value.remedy == "give arch=mlp"
    validate(CellConfig, {**cell, "arch": {**arch, "tables": True}, "precision": "fp32"}, "cell")


def test_a_tenth_is_forgotten():
    assert validate(RandomForget, read("forget", "random"), "forget").share == 0.1
    assert validate(HalvesForget, read("forget", "halves"), "forget").models == 80


@pytest.mark.parametrize("group", ["dataset", "train", "forget"])
def test_each_file_opens_with_the_line_that_help_shows(group):
    files = sorted((shipped("conf") / group).glob("*.yaml"))
    assert files
    for path in files:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith("# ") and len(first) > 10, path
