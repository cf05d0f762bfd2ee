"""Device, precision, threads, determinism and the clock. The only file that knows about GPUs by name."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.provenance import commit, machine
from deepunlearn.core.schema import RuntimeConfig
from deepunlearn.core.seeding import derive_seed

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


class Runtime:
    """Where computations run. Build one per process; it sets the process's threads and determinism."""

    def __init__(self, config: RuntimeConfig) -> None:
        self.config = config
        self.device = _device(config.device)
        self.threads = config.threads or torch.get_num_threads()  # OpenMP's: affinity and OMP_NUM_THREADS count
        torch.set_num_threads(self.threads)
        _keep_freed_memory()
        if self.device.type == "cuda":
            _make_deterministic()

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 autocast where `runtime.precision=bf16`; nothing otherwise."""
        if self.config.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def synchronize(self) -> None:
        """Wait until the device has finished all work given to it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """`model` on the device, in the memory format that is fastest for convolutions."""
        return model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def compiled(self, model: torch.nn.Module) -> torch.nn.Module:
        """`model` itself, its forward pass compiled from the next call on where `runtime.compile` asks for it."""
        if self.config.compile is not None:
            model.compile(backend=self.config.compile)
        return model

    @contextmanager
    def seeded(self, seed: int) -> Iterator[torch.Generator]:
        """Fork and seed the global random state for the block; yields a CPU generator, a stream of its own.

        Drop path, dropout and initialisation draw from the global state, data order from the generator, which is a
        CPU one so that the order is the same on every device. With one seed for both, the noise that a method adds
        would be made of the numbers that order its batches.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(global_seed(seed))
            yield torch.Generator().manual_seed(seed)

    def clock(self) -> Clock:
        return Clock(self)

    def describe(self) -> dict[str, Any]:
        """What every result records of the process that made it."""
        return {
            "machine": machine(),
            "device": self.device_name(),
            "threads": self.threads,
            "precision": self.config.precision,
            "compile": self.config.compile,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "commit": commit(),
            "job": os.environ.get("SLURM_JOB_ID"),
        }

    def device_name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    def peak_memory(self) -> int:
        """Bytes: the device's peak allocation on a GPU, the process's peak resident size on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Clock:
    """Wall seconds of the stretches between `start` and `stop`, the device synchronised at both."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self.seconds, self._since = runtime, 0.0, 0.0

    def start(self) -> None:
        self._runtime.synchronize()
        self._since = time.perf_counter()

    def stop(self) -> None:
        self._runtime.synchronize()
        self.seconds += time.perf_counter() - self._since


def global_seed(seed: int) -> int:
    """The seed of torch's global state where the generator beside it has `seed`."""
    return derive_seed("global", seed)


def _device(name: str) -> torch.device:
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(
            "runtime.device=cuda, but no GPU is visible to PyTorch",
            given=name,
            allowed="auto, cpu here",
            remedy="use runtime.device=auto, or check the driver and CUDA_VISIBLE_DEVICES",
        )
    return torch.device("cuda")


def _keep_freed_memory() -> None:
    """Let the C library keep what is freed, up to 2 GB, for the next step, which needs the same again.

    By default glibc hands it back to the system, which then clears each page anew: 5,000 to 20,000 page faults and 5 to
    15 % of a training step on a CPU (docs/performance.md). Does nothing with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _make_deterministic() -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # adaptive average pooling has no deterministic backward on GPUs, hence a warning rather than an error there
    torch.use_deterministic_algorithms(True, warn_only=True)
    warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")


def gpu_environments() -> list[dict[str, str]]:
    """For each GPU that this process may use, the environment in which a process sees that one alone."""
    if not torch.cuda.is_available():
        return []
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    count = torch.cuda.device_count()
    return [{"CUDA_VISIBLE_DEVICES": name} for name in named[:count] or map(str, range(count))]
