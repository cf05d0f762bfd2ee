"""Small datasets of noise in their own file formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from deepunlearn.data.sources import find, read

CIFAR_TRAIN = np.repeat(np.arange(10), 5000)  # labels, as many as there are
CIFAR_TEST = np.repeat(np.arange(10), 1000)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, shape, dtype=np.uint8)


def write_image(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    """`pixels` uint8 [H, W] or [H, W, 3] as the file type of the name, in PIL mode `mode`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def write_classes(root: Path, counts: dict[str, int], suffix: str = ".png", size: int = 12) -> None:
    """`counts` images of noise per folder, e.g. {"train/cat": 3}."""
    for number, (folder, count) in enumerate(counts.items()):
        for index in range(count):
            write_image(root / folder / f"{index:04d}{suffix}", noise(1000 * number + index, size, size, 3))


def write_idx(path: Path, array: np.ndarray) -> None:
    """A uint8 array in MNIST's IDX format: magic 0, 0, 8 (unsigned byte), number of dimensions; big-endian sizes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def write_mnist(root: Path, name: str = "MNIST", train: int = 40, test: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Returns the training images and labels."""
    for part, count, seed in (("train", train, 1), ("t10k", test, 2)):
        write_idx(root / name / "raw" / f"{part}-images-idx3-ubyte", noise(seed, count, 28, 28))
        write_idx(root / name / "raw" / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    return noise(1, train, 28, 28), np.arange(train) % 10


def read_all(config):
    """(training images, training labels, test images, test labels, class names, channels)"""
    raw = read(config, find(config))
    train, test = raw.train, raw.test
    return list(train.images), train.labels, list(test.images), test.labels, raw.class_names, raw.channels
