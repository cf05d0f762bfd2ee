"""Every random state that reading a dataset may draw from: seeded for the reading, then given back as it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from types import CellType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

from deepunlearn.core.seeding import derive_seed32
from deepunlearn.runtime import Runtime

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
EMPTY = CellType()  # the place of a variable that has no value yet
MOST_MEMBERS = 100  # longer lists hold samples, not transforms


@contextmanager
def seeded_sources(data: object, seed: int, runtime: Runtime) -> Iterator[None]:
    """For the block, the global states of torch, numpy and Python and the generators inside `data` come from `seed`.

    Transforms draw from any of them, loaders from torch's for their order and the seeds of their workers. All stand
    where they stood before when the block ends, however it ends.
    """
    with runtime.seeded(seed), ExitStack() as given_back:
        for number, source in enumerate([random, np.random, *generators_in(data)]):
            given_back.callback(_restoring(source))
            _seed(source, derive_seed32("source", seed, number))
        yield


def generators_in(data: object) -> Iterator[Any]:
    """The random generators that `data` holds: in its attributes, in theirs, and so on."""
    seen: set[int] = set()
    waiting = [data]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, GENERATORS):
            yield one
        else:
            waiting += _members(one)


def _members(one: Any) -> list[Any]:
    """What may hold a generator: attributes, entries of short lists, what functions were made with."""
    if isinstance(one, type | ModuleType | torch.Tensor | np.ndarray):
        return []
    if isinstance(one, list | tuple | set | Mapping):
        entries = one.values() if isinstance(one, Mapping) else one
        return list(entries) if len(one) <= MOST_MEMBERS else []
    if isinstance(one, partial):
        return [one.func, *one.args, *one.keywords.values()]
    if isinstance(one, FunctionType):
        return [cell.cell_contents for cell in one.__closure__ or () if cell != EMPTY]
    attributes = getattr(one, "__dict__", {})
    return [getattr(one, "__self__", None), *(attributes.values() if isinstance(attributes, dict) else ())]


def _restoring(source: Any) -> Callable[[], object]:
    """A function that puts `source` back to where it stands now. `random` and `np.random` are sources too."""
    if isinstance(source, np.random.Generator):
        return partial(setattr, source.bit_generator, "state", source.bit_generator.state)
    if source is random or isinstance(source, random.Random):
        return partial(source.setstate, source.getstate())
    return partial(source.set_state, source.get_state())


def _seed(source: Any, seed: int) -> None:
    if isinstance(source, np.random.Generator):
        source.bit_generator.state = type(source.bit_generator)(seed).state
    elif isinstance(source, torch.Generator):
        source.manual_seed(seed)
    else:
        source.seed(seed)
