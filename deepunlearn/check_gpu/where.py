"""The device that is checked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from deepunlearn.core.errors import NO_MPS, ConfigError, unknown
from deepunlearn.core.schema import RuntimeConfig
from deepunlearn.runtime import Runtime

DEVICES = ("auto", "cuda", "cpu", "mps")


@dataclass(frozen=True)
class Size:
    """How much is done: enough to keep a device busy, and no more.

    batch: of a training step; steps: that are timed at a time; repeats: of these; images: of a trial's training part;
    workers: processes beside each other; rate: rows of the matrices that are multiplied.
    """

    batch: int
    steps: int
    repeats: int
    images: int
    workers: tuple[int, ...]
    rate: int


ON_GPU = Size(batch=256, steps=20, repeats=10, images=5000, workers=(1, 4, 8, 16), rate=8192)
ON_CPU = Size(batch=32, steps=1, repeats=3, images=160, workers=(1, 4, 8, 16), rate=1024)


@dataclass(frozen=True)
class Where:
    """device: cuda or cpu."""

    device: str

    @classmethod
    def named(cls, name: str) -> Where:
        """Raises ConfigError where deepunlearn does not compute on such a device, or there is none."""
        if name not in DEVICES:
            raise unknown("device", name, DEVICES)
        if name == "mps":
            raise ConfigError(
                NO_MPS,
                given="device=mps",
                allowed="device=cuda, device=cpu",
                remedy="give device=cpu; on such a machine everything runs on the CPU",
            )
        found = Runtime(_config(device=name)).device.type
        return cls(found)

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    @property
    def size(self) -> Size:
        return ON_GPU if self.on_gpu else ON_CPU

    def runtime(self, **changes: Any) -> Runtime:
        """As a sweep has it there. To make one changes nothing; see `visiting`."""
        return Runtime(_config(device=self.device, **changes))

    def works(self) -> bool:
        """Whether the device still answers: after some errors of CUDA a process cannot use it any more."""
        try:
            self.runtime().synchronize()
        except RuntimeError:
            return False
        return True

    def facts(self) -> dict[str, Any]:
        """What outcomes depend on."""
        told = self.runtime().describe()
        shown = {name: told[name] for name in ("machine", "device", "threads", "cpu_kernels", "python", "torch")}
        return {**shown, "cuda": torch.version.cuda if self.on_gpu else None, "commit": told["commit"]}


def reference() -> Runtime:
    """What devices are compared with: the CPU, by PyTorch's own kernels."""
    return Runtime(_config(device="cpu", cpu_kernels="off"))


def _config(**changes: Any) -> RuntimeConfig:
    settings = {"device": "cpu", "precision": "fp32", "threads": None}
    return RuntimeConfig(**{**settings, "checkpoint_seconds": 30.0, "data_budget_gb": 8.0, **changes})


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """No TF32 in the block, neither in matrix products nor in convolutions."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
