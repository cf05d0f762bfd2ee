"""What attacks other than U-LiRA's own share: the models of other groups, seen from each group, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from deepunlearn.metrics.accuracy import Floats, Integers
from deepunlearn.ulira.scores import Bools, Wide

FEWEST = 4  # other groups with an observation, per class, sample and attacked group; as of U-LiRA
_ELEMENTS = 2**20  # of a (models, samples) block


class Others(NamedTuple):
    """Of each group and sample, over the models of all other groups that have a role there; all [G, b]."""

    observations: Wide
    mean: Wide  # 0 without any
    variance: Wide  # ddof 1; 0 of fewer than two
    groups: Wide  # other groups with an observation


def others(values: Floats, index: Integers, role: Bools) -> Others:
    """values and role [M, b], index [M]: the number of each model's group, 0 to G - 1."""
    kept = np.where(role, values, 0.0)
    own = [by_group(one, index) for one in (role.astype(np.float64), kept, kept * values)]
    count, total, squares = (one.sum(axis=0) - one for one in own)
    mean = total / np.maximum(count, 1)
    variance = np.maximum(squares - mean * total, 0) / np.maximum(count - 1, 1)
    seen = own[0] > 0
    return Others(count, mean, variance, seen.sum(axis=0) - seen)


def by_group(values: Floats, index: Integers) -> Wide:
    """[G, b] sums of [M, b] over the models of each group."""
    models = len(index)
    members = csr_array((np.ones(models), (index, np.arange(models))), shape=(int(index.max()) + 1, models))
    result: Wide = members @ values
    return result


def present(role: Bools, index: Integers) -> Bools:
    """[G, b] whether a group has an observation of the role [M, b]."""
    result: Bools = by_group(role.astype(np.float64), index) > 0
    return result


def numbered(group: Integers) -> npt.NDArray[np.intp]:
    """[M] the groups as 0 to G - 1. Raises ValueError for fewer than two."""
    names, index = np.unique(group, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"an attack on one group of models needs others, got {len(names)}")
    return index.astype(np.intp)


def blocks(models: int, samples: int) -> Iterator[slice]:
    width = max(1, _ELEMENTS // models)
    return (slice(start, start + width) for start in range(0, samples, width))
