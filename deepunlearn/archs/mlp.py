"""A multilayer perceptron on the pixels: the plainest network, and one without convolutions."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from deepunlearn.core.schema import CHANNELS


def build(classes: int, image_size: int, width: int = 256, depth: int = 2) -> nn.Sequential:
    """`depth` hidden layers of `width` units with ReLU; its first layer has the size of the images."""
    widths = [CHANNELS * image_size**2, *[width] * depth]
    hidden = [(nn.Linear(before, after), nn.ReLU()) for before, after in pairwise(widths)]
    return nn.Sequential(nn.Flatten(), *(layer for pair in hidden for layer in pair), nn.Linear(widths[-1], classes))
