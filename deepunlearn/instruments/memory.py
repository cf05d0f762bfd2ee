"""The most memory that tensors take at once in a block."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from deepunlearn.runtime import Runtime


class Peak:
    """Bytes beyond those that were there when the block began; known when it has ended."""

    bytes = 0


@contextmanager
def peak_of(runtime: Runtime) -> Iterator[Peak]:
    """The peak in the block: on a GPU by PyTorch's allocator, on a CPU by the tensors that operations make.

    On a CPU the system tells only what the process holds, freed memory and libraries included, so the tensors are
    followed: one counts from the operation that gives it until nothing refers to its storage. What an operation needs
    inside itself is not seen there.
    """
    found = Peak()
    before = runtime.watch_allocation()
    if before is not None:
        yield found
        found.bytes = runtime.peak_allocation() - before
        return
    with LiveBytes() as live:
        yield found
    found.bytes = live.peak


class LiveBytes(TorchDispatchMode):
    """Adds up the storages that operations made and that are still there. peak: the most at any time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_place(one) for one in tree_iter((args, kwargs)) if isinstance(one, Tensor)}
        for one in tree_iter(result):
            if isinstance(one, Tensor) and _place(one) not in given:  # views and in-place results are no new memory
                self._follow(one.untyped_storage())
        return result

    def _follow(self, storage: UntypedStorage) -> None:
        name = int(storage._cdata)
        if name in self._sizes:
            return
        self._sizes[name] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, name).atexit = False

    def _forget(self, name: int) -> None:
        self.now -= self._sizes.pop(name, 0)


def _place(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
