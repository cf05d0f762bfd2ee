"""A multilayer perceptron on pixels or features: the plainest network, and one without convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import shape_of


def build(
    classes: int, image_size: int, width: int | Sequence[int] = 256, depth: int = 2, dropout: float = 0.0
) -> nn.Sequential:
    """`depth` hidden layers of `width` units (a list: of each layer) with ReLU; the first has the size of images.

    dropout: the probability with which a hidden unit is left out while training.
    """
    channels, height, pixels = shape_of(image_size)
    return _network(classes, channels * height * pixels, _widths(width, depth), _probability(dropout))


def build_table(
    classes: int, features: int, width: int | Sequence[int] = 256, depth: int = 2, dropout: float = 0.0
) -> nn.Sequential:
    """The same on the rows of a table, [N, features]."""
    return _network(classes, features, _widths(width, depth), _probability(dropout))


def _network(classes: int, inputs: int, hidden: Sequence[int], dropout: float) -> nn.Sequential:
    """Without dropout there is no layer of it, so that the names of weights are those of earlier results."""
    left_out = [nn.Dropout(dropout)] if dropout else []
    layers = [(nn.Linear(before, after), nn.ReLU(), *left_out) for before, after in pairwise([inputs, *hidden])]
    return nn.Sequential(
        nn.Flatten(), *(layer for group in layers for layer in group), nn.Linear([inputs, *hidden][-1], classes)
    )


def _widths(width: int | Sequence[int], depth: int) -> list[int]:
    """The units of each hidden layer. Raises ConfigError."""
    widths = list(width) if isinstance(width, Sequence) else [width] * _whole("depth", depth, 0)
    if len(widths) != depth:
        raise ConfigError(
            "mlp is given the widths of more or fewer hidden layers than it has",
            given=f"arch.args.width={widths}, arch.args.depth={depth}",
            allowed="one width for all layers, or a list of depth widths",
            remedy=f"give arch.args.depth={len(widths)}",
        )
    return [_whole("width", one, 1) for one in widths]


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise ConfigError(
        f"mlp's {name} has a value that cannot be used",
        given=f"arch.args.{name}={value}",
        allowed=f"whole numbers from {least}",
        remedy=f"give e.g. arch.args.{name}={'2' if name == 'depth' else '256, or [64,32]'}",
    )


def _probability(dropout: float) -> float:
    if isinstance(dropout, int | float) and not isinstance(dropout, bool) and 0 <= dropout < 1:
        return dropout
    raise ConfigError(
        "mlp's dropout has a value that cannot be used",
        given=f"arch.args.dropout={dropout}",
        allowed="a number from 0, below 1",
        remedy="give e.g. arch.args.dropout=0.2",
    )
