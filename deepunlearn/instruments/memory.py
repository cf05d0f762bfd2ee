"""The most memory that tensors take at once in a block."""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager
from typing import Any, Self

from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from deepunlearn.runtime import Runtime


class Peak(AbstractContextManager["Peak"]):
    """The peak in its block: on a GPU by PyTorch's allocator, on a CPU by the tensors that operations make.

    bytes: beyond those that were there when the block began. On a CPU the system tells only what the process holds,
    freed memory and libraries included, so the tensors are followed: one counts from the operation that gives it until
    nothing refers to its storage. What an operation needs inside itself is not seen there.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.bytes = 0
        self._runtime = runtime
        self._before: int | None = None
        self._live = LiveBytes()

    def __enter__(self) -> Self:
        self._before = self._runtime.watch_allocation()
        if self._before is None:
            self._live.__enter__()  # type: ignore[no-untyped-call]  # torch's
        return self

    def __exit__(self, *error: Any) -> None:
        if self._before is None:
            self._live.__exit__(*error)  # type: ignore[no-untyped-call]  # torch's
            self.bytes = self._live.peak
        else:
            self.bytes = self._runtime.peak_allocation() - self._before


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
