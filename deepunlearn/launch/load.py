"""What other processes do to the cores of this one while something is timed. Imports no torch."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from deepunlearn.core.provenance import cores

STAT = Path("/proc/stat")  # Linux; elsewhere the load average stands in
IDLE = (3, 4)  # idle and waiting for a disk, of the columns of a core's line
COUNTED = 8  # user, nice, system, idle, iowait, irq, softirq, steal; guests are part of user


class Use(NamedTuple):
    """Of a stretch of time."""

    wall: float  # seconds
    processor: float  # seconds of this process, all threads together
    others: float  # cores, of those this process may use, that other processes kept busy on average


class Watch:
    """Looks at the clocks when it is made and again when it is read."""

    def __init__(self) -> None:
        self.cores = cores()
        self.load = os.getloadavg()[0]  # of the last minute, our own start included
        self._start = self._now()

    def read(self) -> Use:
        """What happened since the watch was made."""
        wall, processor, busy = (now - then for now, then in zip(self._now(), self._start, strict=True))
        others = (busy - processor) / wall if STAT.exists() else self.load
        return Use(wall, processor, min(max(0.0, others), float(len(self.cores))))

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), busy_seconds(self.cores)


def busy_seconds(chosen: frozenset[int]) -> float:
    """Seconds that these cores have worked since the machine started, whoever for; 0 where it does not say."""
    if not STAT.exists():
        return 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    lines = [line.split() for line in STAT.read_text(encoding="utf-8").splitlines()]
    mine = [line[1 : 1 + COUNTED] for line in lines if line[0] in {f"cpu{number}" for number in chosen}]
    return sum(int(value) for line in mine for at, value in enumerate(line) if at not in IDLE) / ticks
