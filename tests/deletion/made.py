"""A model of one's own with its data, as a deletion finds them: digits as image files, and a small network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from deepunlearn import archs
from deepunlearn.config import read_command
from deepunlearn.core.progress import Progress
from deepunlearn.core.split import Split
from deepunlearn.data.decoded import load
from deepunlearn.data.loader import make_parts
from deepunlearn.runtime import Runtime
from deepunlearn.training import save_weights, train

TRAINING, TEST = 500, 300
SMALL = ("arch=smallnet", "dataset.image_size=8", "runtime.threads=1")


def write_digits(root: Path) -> list[str]:
    """root/train/CLASS and root/test/CLASS; the names of the training images, in the order of the data."""
    digits = load_digits()
    order = np.random.RandomState(0).permutation(len(digits.images))[: TRAINING + TEST]
    for number, index in enumerate(order):
        file = root / ("train" if number < TRAINING else "test") / str(digits.target[index]) / f"{number:04d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[index] * 255 / 16).round().astype(np.uint8)).save(file)
    return sorted(file.relative_to(root).as_posix() for file in (root / "train").rglob("*.png"))


def trained(data: Path, cache: Path, epochs: int = 12) -> nn.Module:
    """A network that was trained on data/train, whole."""
    given = [f"train.epochs={epochs}", "train.batch_size=32", f"dataset.root={data}", "dataset=folder", *SMALL]
    sweep = read_command(given).sweep
    cell, runtime = sweep.cells[0], Runtime(sweep.runtime)
    decoded = load(cell.dataset, cache, Progress(quiet=True))
    everything, nobody = np.arange(len(decoded.train_labels)), np.zeros(0, dtype=np.int64)
    split = Split(everything, nobody, nobody, np.arange(len(decoded.test_labels)))
    parts = make_parts(decoded, split, cell.dataset, runtime.device, 1e9)
    model = archs.build(cell.arch, len(decoded.class_names), decoded.inputs, seed=0)
    train(model, parts["train"], cell.train, runtime, "a model of one's own")
    return model.eval()


def write_request(folder: Path, ids: int = 12) -> list[str]:
    """folder/data, folder/model.safetensors and folder/ids.csv; the names that the list has."""
    names = write_digits(folder / "data")
    save_weights(folder / "model.safetensors", trained(folder / "data", folder / "cache"))
    listed = names[:: len(names) // ids][:ids]
    write_list(folder / "ids.csv", listed)
    return listed


def write_list(file: Path, entries: list[str], column: str = "file") -> None:
    file.write_text("\n".join([column, *entries]) + "\n", encoding="utf-8")


def asked(folder: Path, *more: str) -> list[str]:
    """The command for a request that lies in `folder`; of an option that is there twice the later one alone."""
    own = {"model": "model.safetensors", "data": "data", "ids": "ids.csv", "out": "out"}
    command = [*(f"{name}={folder / file}" for name, file in own.items()), *SMALL, *more]
    return list({one.partition("=")[0]: one for one in command}.values())
