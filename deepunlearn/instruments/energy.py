"""Joules of whatever runs in a block, from the meters in processors and GPUs. Nothing is estimated."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol, Self

from deepunlearn.core.errors import NotApplicable
from deepunlearn.runtime import Runtime

POWERCAP = Path("/sys/class/powercap")  # where Linux shows RAPL, the meters of Intel's and AMD's processors
READ_SECONDS = 10.0  # a processor's meter is full after some minutes at the least


class Meter(Protocol):
    """Counts the joules of one device."""

    def read(self) -> float:
        """Joules since some moment."""

    def between(self, before: float, now: float) -> float:
        """Joules from one reading to the next, of which there are several before it is full."""


class Joules(AbstractContextManager["Joules"]):
    """Adds up what the meters count in its blocks, the device being done before and after each.

    joules, seconds: of all blocks so far. Within a block they are read every few seconds, as a meter that is full
    begins again at 0 and does not say how often it has. Where one of these readings fails, the end of the block raises
    its error.
    """

    def __init__(self, runtime: Runtime, meters: list[Meter]) -> None:
        self.joules = 0.0
        self._meters, self._before = meters, list[float]()
        self._clock, self._ended = runtime.clock(), Event()
        self._failed: Exception | None = None

    @property
    def seconds(self) -> float:
        return self._clock.seconds

    def __enter__(self) -> Self:
        self._ended.clear()
        self._failed = None
        self._reader = Thread(target=self._follow, daemon=True)
        self._clock.start()
        self._before = [meter.read() for meter in self._meters]
        self._reader.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._clock.stop()
        self._ended.set()
        self._reader.join()
        if self._failed is not None and error[1] is None:
            raise self._failed
        self._add()

    def _follow(self) -> None:
        try:
            while not self._ended.wait(READ_SECONDS):
                self._add()
        except Exception as error:  # what a driver raises; told where the block ends
            self._failed = error

    def _add(self) -> None:
        """What was counted since the last reading."""
        now = [meter.read() for meter in self._meters]
        readings = zip(self._meters, self._before, now, strict=True)
        self.joules += sum(meter.between(before, after) for meter, before, after in readings)
        self._before = now


def meters_of(runtime: Runtime) -> list[Meter]:
    """The meters of the device that the runtime computes on: the GPU's, or on a CPU those of all processors.

    Raises NotApplicable where one of them is missing or cannot be read.
    """
    gpu = runtime.gpu_name()
    return processors() if gpu is None else [graphics(gpu)]


# ------------------------------------------------------------------------------------------------------- processors


class Package:
    """A processor's meter: a file of microjoules that begins again at 0 when it is full."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._full = int((folder / "max_energy_range_uj").read_text(encoding="ascii"))

    def read(self) -> float:
        return int(self._file.read_text(encoding="ascii")) / 1e6

    def between(self, before: float, now: float) -> float:
        counted = now - before
        return counted if counted >= 0 else counted + self._full / 1e6


def processors(root: Path = POWERCAP) -> list[Meter]:
    """A meter for each processor of the machine. Raises NotApplicable."""
    packages = [folder for folder in sorted(root.glob("intel-rapl:*")) if _is_package(folder)]
    if not packages:
        raise _unreadable("the processors have no meters that Linux shows", f"no package in {root}/intel-rapl:*")
    try:
        meters = [Package(folder) for folder in packages]
        for meter in meters:
            meter.read()
    except OSError as error:
        raise _unreadable("the meters of the processors cannot be read", str(error)) from error
    return list(meters)


def _is_package(folder: Path) -> bool:
    """Whether it is a whole processor; parts of one (cores, memory) are in it, or not measured everywhere."""
    name = folder / "name"
    return name.is_file() and name.read_text(encoding="ascii").startswith("package-")


def _unreadable(problem: str, given: str) -> NotApplicable:
    return NotApplicable(
        f"the energy of this machine cannot be measured: {problem}",
        given=given,
        allowed="on a CPU: Linux with RAPL, whose files energy_uj this user may read; on a GPU: NVIDIA's, since Volta",
        remedy="have the files made readable (most systems keep them for root), measure on another machine, or leave "
        "the measure out",
    )


# ------------------------------------------------------------------------------------------------------------- GPUs


class Graphics:
    """A GPU's meter, through NVIDIA's management library."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._read: Callable[[], int] = lambda: int(library.nvmlDeviceGetTotalEnergyConsumption(handle))

    def read(self) -> float:
        return self._read() / 1e3

    def between(self, before: float, now: float) -> float:
        return now - before


def graphics(name: str) -> Meter:
    """The meter of the GPU that the driver calls `name`, as "GPU-...". Raises NotApplicable."""
    try:
        import pynvml  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _unreadable(
            "the package that reads a GPU's meter is missing", "install it: pip install 'deepunlearn[energy]'"
        ) from error
    try:
        pynvml.nvmlInit()
        meter = Graphics(pynvml, pynvml.nvmlDeviceGetHandleByUUID(name))
        meter.read()
    except pynvml.NVMLError as error:
        raise _unreadable("the meter of the GPU cannot be read", str(error)) from error
    return meter
