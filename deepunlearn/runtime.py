"""Device, precision, threads, determinism and the clock. The only file that knows about GPUs by name."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from deepunlearn.core.errors import NO_MPS, ConfigError
from deepunlearn.core.provenance import commit, machine
from deepunlearn.core.schema import RuntimeConfig
from deepunlearn.core.seeding import derive_seed
from deepunlearn.kernels import choice, switch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # deterministic matrix products need it
PROC = Path("/proc/self")  # what Linux tells of this process


class Runtime:
    """Where computations run. To make one changes nothing; `settle` is for a process of ours, `visit` for another's."""

    def __init__(self, config: RuntimeConfig, device: torch.device | None = None) -> None:
        """device: which one exactly, in place of what the configuration says."""
        self.config = config
        self.device = device or _device(config.device)
        self._peak_of = "process"
        self._graphs_of = ""
        self.threads = config.threads or torch.get_num_threads()  # OpenMP's: affinity and OMP_NUM_THREADS count

    def settle(self) -> Runtime:
        """Set this process's threads, CPU kernels, determinism and warnings for good."""
        torch.set_num_threads(self.threads)
        choice.settle(self.config.cpu_kernels)
        _quieten()
        if self.device.type == "cuda":
            _make_deterministic()
        return self

    @contextmanager
    def visit(self, dtype: torch.dtype) -> Iterator[None]:
        """For the block, what our computations expect of a process, `dtype` as its default; then all is as before.

        What the caller is in the middle of must not reach them: no_grad, inference mode, autocast, default devices.
        """
        with ExitStack() as before:
            before.enter_context(warnings.catch_warnings())
            _quieten()
            before.enter_context(switch.visit(self.config.cpu_kernels))
            before.enter_context(torch.inference_mode(False))
            before.enter_context(torch.enable_grad())
            for kind in {"cpu", self.device.type}:
                before.enter_context(torch.autocast(kind, enabled=False))
            before.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(dtype)
            if torch.get_default_device().type != "cpu":  # the mode slows every operation a little
                before.enter_context(torch.device("cpu"))
            if self.device.type == "cuda":
                before.enter_context(torch.cuda.device(self.device))
                before.enter_context(_determinism_given_back())
                _make_deterministic()
            yield

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 autocast where `runtime.precision=bf16`; nothing otherwise."""
        if self.config.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def synchronize(self) -> None:
        """Wait until the device has finished all work given to it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def to_device(self, model: torch.nn.Module) -> torch.nn.Module:
        """`model` on the device, with the layers and the memory format that are fastest there."""
        return choice.fit(model.to(self.device), self.device)

    def compiled(self, model: torch.nn.Module) -> torch.nn.Module:
        """`model` itself, its forward pass compiled from the next call on where `runtime.compile` asks for it."""
        if self.config.compile is not None:
            model.compile(backend=self.config.compile)
        return model

    def graphs_of(self, owner: str) -> None:
        """Forget the graphs that were compiled for another owner.

        torch keeps a few per network (its recompile limit) and runs the rest eagerly: without this, what ran before in
        the process would decide who runs compiled.
        """
        if self.config.compile is not None and owner != self._graphs_of:
            torch._dynamo.reset()
            self._graphs_of = owner

    @contextmanager
    def seeded(self, seed: int) -> Iterator[torch.Generator]:
        """Fork and seed the global random state for the block; yields a CPU generator, a stream of its own.

        Drop path, dropout and initialisation draw from the global state, data order from the generator, which is a
        CPU one so that the order is the same on every device. With one seed for both, the noise that a method adds
        would be made of the numbers that order its batches.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            self._seed_global_state(global_seed(seed))
            yield torch.Generator().manual_seed(seed)

    def _seed_global_state(self, seed: int) -> None:
        """Not by torch.manual_seed, which seeds every GPU that the process sees, forked or not."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(seed)

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
            "cpu_kernels": choice.names(self.device),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "commit": commit(),
            "job": os.environ.get("SLURM_JOB_ID"),
        }

    def device_name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    def gpu_name(self) -> str | None:
        """What the driver calls the GPU, as "GPU-..."; None on a CPU."""
        if self.device.type != "cuda":
            return None
        return f"GPU-{torch.cuda.get_device_properties(self.device).uuid}"

    def memory(self) -> int | None:
        """Bytes that the device has in all; None where the system does not say."""
        if self.device.type == "cuda":
            return int(torch.cuda.get_device_properties(self.device).total_memory)
        pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in os.sysconf_names else -1
        return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else None

    def watch_memory(self) -> None:
        """Forget the peak so far: `peak_memory` is that of the stage that begins now, where the system allows it."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._peak_of = "stage" if self.device.type == "cuda" or _reset_peak_size() else "process"

    def peak_memory(self) -> dict[str, Any]:
        """Bytes: the device's peak allocation on a GPU, the process's peak resident size on a CPU; and since when.

        "stage": since `watch_memory`; "process": since the process began, so that only the largest stage shows. On a
        CPU what earlier stages left in memory counts.
        """
        peak = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else _peak_size()
        return {"peak_memory": peak, "peak_memory_of": self._peak_of}

    def watch_allocation(self) -> int | None:
        """Bytes that a GPU's tensors take now; `peak_allocation` is the most from now on. None on a CPU."""
        if self.device.type != "cuda":
            return None
        torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.memory_allocated(self.device)

    def peak_allocation(self) -> int:
        """Bytes: the most that a GPU's tensors took since `watch_allocation`."""
        return torch.cuda.max_memory_allocated(self.device)


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

    @contextmanager
    def paused(self) -> Iterator[None]:
        """For work within a stretch that is not to be timed; the clock runs before it."""
        self.stop()
        yield
        self.start()


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


def _reset_peak_size() -> bool:
    """Make Linux measure this process's peak resident size anew; False where it does not (proc(5), clear_refs)."""
    try:
        (PROC / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return _high_water_mark() is not None


def _peak_size() -> int:
    """Bytes. The system's own maximum knows no reset, but is there on every system."""
    unit = 1 if sys.platform == "darwin" else 1024
    return _high_water_mark() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _high_water_mark() -> int | None:
    status = PROC / "status"
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def device_of(given: Iterable[torch.device]) -> torch.device:
    """The one device, with its index, of a model whose weights lie on `found`. Raises ConfigError."""
    devices = sorted(set(given), key=str)
    if len(devices) > 1:
        raise ConfigError(
            "the model is spread over several devices",
            given=", ".join(map(str, devices)),
            allowed="one device for all parameters and buffers",
            remedy=f"move it to one of them, e.g. model.to('{devices[-1]}')",
        )
    if devices[0].type == "mps":
        raise ConfigError(NO_MPS, given=devices[0], allowed="cpu, cuda", remedy="move the model with model.to('cpu')")
    if devices[0].type not in ("cpu", "cuda"):
        raise ConfigError(
            f"the model is on a device of kind {devices[0].type!r}, which we do not compute on",
            given=devices[0],
            allowed="cpu, cuda",
            remedy="move it with model.to('cpu'); a model on 'meta' has no values yet: load its weights first",
        )
    return devices[0]


def _quieten() -> None:
    """Leave out warnings that users of methods can do nothing about."""
    # adaptive average pooling has no deterministic backward on GPUs
    warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
    # per-sample gradients: pooling to 1x1 has no batching rule and falls back to a loop; its share of the time is nil
    warnings.filterwarnings("ignore", message="There is a performance drop because we have not yet implemented the b")


@contextmanager
def _determinism_given_back() -> Iterator[None]:
    """Whatever `_make_deterministic` sets in the block is afterwards as it was."""
    workspace, cudnn = os.environ.get(WORKSPACE), torch.backends.cudnn
    flags = cudnn.benchmark, cudnn.deterministic
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        cudnn.benchmark, cudnn.deterministic = flags
        if workspace is None:
            os.environ.pop(WORKSPACE, None)
        else:
            os.environ[WORKSPACE] = workspace


def _make_deterministic() -> None:
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)  # an error would forbid adaptive average pooling


def gpu_environments() -> list[dict[str, str]]:
    """For each GPU that this process may use, the environment in which a process sees that one alone."""
    if not torch.cuda.is_available():
        return []
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    count = torch.cuda.device_count()
    return [{"CUDA_VISIBLE_DEVICES": name} for name in named[:count] or map(str, range(count))]
