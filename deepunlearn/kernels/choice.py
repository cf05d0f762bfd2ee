"""Which CPU kernels this process uses: the one place that decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deepunlearn.core.schema import CpuKernels
from deepunlearn.kernels import allocator, dense
from deepunlearn.kernels.allocator import keep_freed_memory
from deepunlearn.kernels.dense import use_dense
from deepunlearn.kernels.small_maps import use_small_maps


@dataclass
class _Switch:
    cpu_kernels: CpuKernels = "auto"


_switch = _Switch()


def settle(cpu_kernels: CpuKernels) -> None:
    """Choose for this process, for good."""
    _switch.cpu_kernels = cpu_kernels
    if cpu_kernels == "auto":
        keep_freed_memory()


@contextmanager
def visit(cpu_kernels: CpuKernels) -> Iterator[None]:
    """Choose for the block. Memory is allocated as the process has it."""
    before, _switch.cpu_kernels = _switch.cpu_kernels, cpu_kernels
    try:
        yield
    finally:
        _switch.cpu_kernels = before


def in_use(device: torch.device) -> bool:
    """Whether what runs on `device` takes our ways."""
    return device.type == "cpu" and _switch.cpu_kernels == "auto"


def layout(device: torch.device) -> torch.memory_format:
    """Of networks and images: channels last, in which convolutions are faster; PyTorch's own without CPU kernels."""
    return torch.channels_last if device.type != "cpu" or in_use(device) else torch.contiguous_format


def fit(model: nn.Module, device: torch.device) -> nn.Module:
    """`model`, which is on `device`, with the layers and the layout that are fastest there, in place.

    Modules and parameters stay the same objects, state-dict keys the same names.
    """
    if in_use(device):
        use_small_maps(model)
        if dense.PAYS:
            use_dense(model)
    return model.to(memory_format=layout(device))


def in_one_pass(weights: Iterable[Tensor]) -> bool:
    """Whether an optimiser goes over all `weights` at once (torch's `fused`), in their order in memory."""
    return all(weight.device.type != "cpu" or in_use(weight.device) for weight in weights)


def names(device: torch.device) -> list[str]:
    """The kernels that are in use for `device`, as results record them; a layer may still be too small for them."""
    kept = ["kept memory"] if allocator.THERE and _switch.cpu_kernels == "auto" else []
    layers = [*(["dense products"] if dense.PAYS else []), "small maps", "memory order"]
    return [*(layers if in_use(device) else []), *kept]
