"""The switch that all CPU kernels hang on: whether this process takes our ways or PyTorch's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from deepunlearn.core.schema import CpuKernels


@dataclass
class _Switch:
    cpu_kernels: CpuKernels = "auto"


_switch = _Switch()


def turn(cpu_kernels: CpuKernels) -> None:
    """Choose for this process, for good."""
    _switch.cpu_kernels = cpu_kernels


@contextmanager
def visit(cpu_kernels: CpuKernels) -> Iterator[None]:
    """Choose for the block; layers that were fitted before follow. Memory is allocated as the process has it."""
    before, _switch.cpu_kernels = _switch.cpu_kernels, cpu_kernels
    try:
        yield
    finally:
        _switch.cpu_kernels = before


def on() -> bool:
    return _switch.cpu_kernels == "auto"


def in_use(device: torch.device) -> bool:
    """Whether what runs on `device` takes our ways."""
    return device.type == "cpu" and on()
