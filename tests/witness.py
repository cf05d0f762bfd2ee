"""Images that carry their own number in their pixels, a network that notes whom it sees, and a clock that it moves.

A small network that a sweep takes as `arch.module`, and time that passes only where it is at work: whom each model was
trained on, and what was timed, can then be read off without a look into the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepunlearn.archs import small
from tests.data.small_data import write_image

CLASSES, TRAIN, TEST, SIZE = 4, 30, 10, 8  # images per class, pixels
FIRST_TEST = 10_000  # the number of the first test image
TRAINING_SECONDS, EVALUATING_SECONDS = 1, 1000  # what a batch takes on the clock below


class Look(NamedTuple):
    """A batch as the network met it; start: a number that tells its weights at that moment apart."""

    training: bool
    numbers: tuple[int, ...]
    weights: float


@dataclass
class Clock:
    """Stands in for the module `time`."""

    now: float = 0.0

    def perf_counter(self) -> float:
        return self.now


SEEN: list[Look] = []
CLOCK = Clock()


def write_numbered(root: Path) -> None:
    """`root`/{train,test}/CLASS/*.png; a training image's number is its place in the data, classes one by one."""
    for part, count, first in (("train", TRAIN, 0), ("test", TEST, FIRST_TEST)):
        for label in range(CLASSES):
            for index in range(count):
                number = first + label * count + index
                pixels = np.random.RandomState(number).randint(0, 100, (SIZE, SIZE)).astype(np.uint8) + 35 * label
                pixels[0, :2] = divmod(number, 256)
                write_image(root / part / "abcd"[label] / f"{index:03d}.png", pixels.astype(np.uint8))


def numbers_of(images: Tensor) -> tuple[int, ...]:
    """The numbers of images as they are served with mean 0 and standard deviation 1."""
    high, low = (images[:, 0, 0, :2] * 255).round().long().unbind(1)
    return tuple((256 * high + low).tolist())


class Witness(small.SmallNet):
    def forward(self, images: Tensor) -> Tensor:
        if images.is_meta:  # a look at its shapes, without images
            return super().forward(images)
        SEEN.append(Look(self.training, numbers_of(images), float(self.head.weight.detach().double().sum())))
        CLOCK.now += TRAINING_SECONDS if self.training else EVALUATING_SECONDS
        return super().forward(images)


def build(classes: int, image_size: int) -> Witness:
    return Witness(classes)


PARTS = small.PARTS


def by_hand(model: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """Logits of uint8 [N, 1, S, S], one image at a time."""
    pixels = torch.from_numpy(np.array(images)).float().div(255).expand(-1, 3, -1, -1)
    with torch.no_grad():
        return torch.cat([model.eval()(image[None]) for image in pixels]).numpy()
