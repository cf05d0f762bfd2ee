"""Which CPU kernels this process uses: the one place that decides."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from deepunlearn.core.schema import CpuKernels
from deepunlearn.kernels import allocator, dense, switch
from deepunlearn.kernels.allocator import keep_freed_memory
from deepunlearn.kernels.dense import use_dense
from deepunlearn.kernels.small_maps import use_small_maps
from deepunlearn.kernels.switch import in_use


def settle(cpu_kernels: CpuKernels) -> None:
    """Choose for this process, for good."""
    switch.turn(cpu_kernels)
    if cpu_kernels == "auto":
        keep_freed_memory()


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
    kept = ["kept memory"] if allocator.THERE and switch.on() else []
    layers = [*(["dense products"] if dense.PAYS else []), "small maps", "memory order"]
    return [*(layers if in_use(device) else []), *kept]
