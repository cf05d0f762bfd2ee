"""What several measures ask of the same arrays is computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

KEPT = 16  # results of a function; more than a model and its references have parts that are asked for

Result = TypeVar("Result")


def read_only(arrays: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
    """The same values, which nobody who is given them can change."""
    views = {name: array.view() for name, array in arrays.items()}
    for view in views.values():
        view.setflags(write=False)
    return MappingProxyType(views)


def of_read_only(function: Callable[..., Result], kept: int = KEPT) -> Callable[..., Result]:
    """`function` of arrays, which remembers its last `kept` results for arrays that nobody can change.

    Arrays are told apart by their identity: each is held while its result is, so that no other can take its place.
    Those that can be written to are computed each time. A result that is an array cannot be written to either.
    """
    known: OrderedDict[tuple[int, ...], tuple[tuple[Any, ...], Result]] = OrderedDict()

    @wraps(function)
    def remembering(*arrays: npt.NDArray[Any]) -> Result:
        if any(array.flags.writeable for array in arrays):
            return function(*arrays)
        name = tuple(map(id, arrays))
        if name not in known:
            result = function(*arrays)
            if isinstance(result, np.ndarray):
                result.setflags(write=False)
            known[name] = arrays, result
            if len(known) > kept:
                known.popitem(last=False)
        known.move_to_end(name)
        return known[name][1]

    return remembering
