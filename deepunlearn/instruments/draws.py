"""Random numbers that are the same on every device: drawn on the CPU, whatever device asks for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

INTO = ("bernoulli_", "exponential_", "normal_", "random_", "uniform_")  # fill the tensor that they are given
NEW = ("bernoulli", "multinomial", "native_dropout", "normal", "rand", "rand_like", "randint", "randint_like", "randn",
       "randn_like", "randperm")  # fmt: skip
DRAWING = frozenset(f"aten::{name}" for name in (*INTO, *NEW))
CPU = torch.device("cpu")


class DrawnOnCpu(TorchDispatchMode):
    """In the block, what draws random numbers draws them from the CPU's generator, sample by sample in their order.

    A GPU has a stream of its own, and fills a tensor in the order of its memory: with it, equal seeds would give other
    noise, and two devices could not be compared. Copies make it slow: it is for checks.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func._schema.name not in DRAWING:
            return func(*args, **given)
        here = tree_map(_on_cpu, args)
        there = [given["device"]] if given.get("device") else [one.device for one in args if isinstance(one, Tensor)]
        drawn = func(*here, **{name: _option(name, value) for name, value in given.items()})
        if func._schema.name.removeprefix("aten::") in INTO:
            return args[0].copy_(here[0])
        return tree_map(lambda one: one.to(there[0]) if there else one, drawn)


def _on_cpu(value: Any) -> Any:
    """A tensor as one on the CPU that is laid out as its indices are, and no view of the one that was given."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().to(CPU, copy=True, memory_format=torch.contiguous_format)


def _option(name: str, value: Any) -> Any:
    """An option of a call as it is for the CPU. Generators of other devices have streams of their own, and are left."""
    if name == "device":
        return CPU
    if name == "pin_memory":
        return False
    return None if name == "generator" and value is not None and value.device != CPU else value
