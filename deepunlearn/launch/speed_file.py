"""Measured speeds with the conditions they were measured under, kept so that a plan need not measure again."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from deepunlearn.core.paths import write_atomically
from deepunlearn.core.schema import CellConfig, CpuKernels, Features, Inputs

DAYS = 7.0  # after these a speed is measured again
CROWD = 0.25  # cores by which a machine may be short before timings count as made beside others


@dataclass(frozen=True)
class Speed:
    """Images per second of one cell on one device: training at the recipe's batch size, and inference."""

    train: float
    predict: float


class Conditions(BaseModel):
    """How a speed was measured, and what else was going on."""

    model_config = ConfigDict(frozen=True)

    date: AwareDatetime
    torch: str
    capability: str  # the processor's vector instructions, as torch uses them
    commit: str
    batch: int  # images of the largest step that was timed; a recipe's step may have more
    threads: int  # of the timed steps
    needed: int  # cores that such work keeps busy: its threads, or one beside a GPU
    cores: int  # that the process may use
    others: float  # cores that other processes kept busy meanwhile
    load: float  # the system's, of the minute before
    wall: float  # seconds of the timed steps
    processor: float  # seconds of this process in them, all threads together
    corrected: bool  # from the processor time of one thread, since others had the cores

    @property
    def crowded(self) -> bool:
        """Whether other processes left too few cores."""
        return self.others + self.needed > self.cores + CROWD

    def holds(self, torch: str, capability: str) -> bool:
        """Whether a speed measured so need not be measured again."""
        age = datetime.datetime.now(datetime.UTC) - self.date
        same = (self.torch, self.capability) == (torch, capability)
        return same and not self.crowded and age < datetime.timedelta(days=DAYS)


@dataclass(frozen=True)
class Timed:
    """A speed; without conditions where an earlier version stored it."""

    speed: Speed
    conditions: Conditions | None = None

    @property
    def worth(self) -> tuple[bool, float]:
        """Sorts speeds: those measured alone after those beside others or unknown, the newest last."""
        if self.conditions is None:
            return False, 0.0
        return not self.conditions.crowded, self.conditions.date.timestamp()

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.speed), **(self.conditions.model_dump(mode="json") if self.conditions else {})}


def read_timed(stored: Any) -> Timed | None:
    """What one entry of the file says; None where it says nothing that can be used."""
    try:
        speed = Speed(float(stored["train"]), float(stored["predict"]))
        if not (speed.train > 0 and speed.predict > 0):
            return None
        if "date" not in stored:
            return Timed(speed)
        return Timed(speed, Conditions.model_validate(stored))
    except (KeyError, TypeError, ValueError):
        return None


class SpeedFile:
    """`results/cache/speed.json`. Never in the way: what it does not hold, or not whole, is measured again."""

    def __init__(self, cache: Path) -> None:
        self.path = cache / "speed.json"

    def _all(self) -> dict[str, Timed]:
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        entries = stored.items() if isinstance(stored, dict) else ()
        return {name: timed for name, entry in entries if (timed := read_timed(entry)) is not None}

    def get(self, name: str) -> Timed | None:
        return self._all().get(name)

    def like(self, start: str, end: str, gpu: bool) -> Timed | None:
        """The best of those whose name begins and ends so, measured on a GPU or not."""
        every = self._all().items()
        named = [(name, timed) for name, timed in every if name.startswith(start) and name.endswith(end)]
        timings = [timed for name, timed in named if (" cpu " not in name) == gpu]
        return max(timings, key=lambda timed: timed.worth, default=None)

    def put(self, name: str, timed: Timed) -> None:
        """Keep `timed`. Of two processes that write at once one may be lost, which is then measured again."""
        entries = {**self._all(), name: timed}
        write_atomically(self.path, json.dumps({key: one.as_json() for key, one in entries.items()}, indent=1) + "\n")


def speed_name(cell: CellConfig, inputs: Inputs, where: str, cpu_kernels: CpuKernels = "auto") -> str:
    """What a speed is kept under: it holds for one network, size of inputs, batch size and precision somewhere."""
    size = f"{inputs.number}f" if isinstance(inputs, Features) else inputs
    recipe = f"{cell.arch.name} {size} {cell.train.batch_size}"
    return f"{recipe} {where} {cell.precision}" + ("" if cpu_kernels == "auto" else f" cpu_kernels={cpu_kernels}")


# ------------------------------------------------------------------------------------------- what a plan says of it


def remarks(cells: Iterable[CellConfig], speeds: Iterable[Timed | None]) -> Iterator[str]:
    """What a reader of an estimate should know of the speeds that it rests on. None: derived, not timed."""
    pairs = list(zip(cells, speeds, strict=True))
    crowded = [one.conditions for _, one in pairs if one and one.conditions and one.conditions.crowded]
    if crowded:
        yield from _crowd(max(crowded, key=lambda one: one.others))
    small = [
        f"{_network(cell)} ({one.conditions.batch} of {cell.train.batch_size})"
        for cell, one in pairs
        if one and one.conditions and one.conditions.batch < cell.train.batch_size
    ]
    if small:
        yield f"  timed on fewer images than a step has, to save time: {', '.join(dict.fromkeys(small))}"
    derived = [_network(cell) for cell, one in pairs if one is None]
    if derived:
        yield (
            f"  not timed, as the time for it was up: {', '.join(dict.fromkeys(derived))}; "
            "derived from the operations per image"
        )


def _crowd(worst: Conditions) -> Iterator[str]:
    yield (
        f"  OTHER PROCESSES kept {worst.others:.1f} of {worst.cores} cores busy while steps were timed "
        f"(load {worst.load:.1f}; the steps had {worst.processor / max(worst.wall, 1e-9):.2f} cores)"
    )
    if worst.corrected:
        yield (
            "  so the estimate is that of a free machine, from processor time. Beside such work it takes several times "
            "as long, most with several threads, since they wait for each other: use runtime.threads=1, or wait"
        )
    else:
        yield "  so the estimate may be several times too high"
    yield "  speeds measured beside others are measured again by the next plan"


def _network(cell: CellConfig) -> str:
    size = cell.dataset.image_size
    return f"{cell.arch.name} on {cell.dataset.name}" if size is None else f"{cell.arch.name} at {size}x{size}"
