"""Where a value lies on an axis: a linear scale, or one that is linear near 0 and logarithmic above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from deepunlearn.core.measure_config import Column

LINEAR_TO = 0.1  # where good methods lie; a decade above takes as much of the axis
SPANS = 4.0  # values that reach this many times LINEAR_TO need the logarithm
CLOSEST = 0.24  # of the axis: ticks are no nearer to each other
LEADS = (1, 3)


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`; ticks: values to name. curved: logarithmic above `LINEAR_TO`, `low` being 0."""

    low: float
    high: float
    ticks: tuple[float, ...]
    curved: bool = False

    def at(self, value: float) -> float:
        """The place of `value`, from 0 (`low`) to 1 (`high`); beyond the ends: the end."""
        place = (self._bent(value) - self._bent(self.low)) / (self._bent(self.high) - self._bent(self.low))
        return min(1.0, max(0.0, place))

    def _bent(self, value: float) -> float:
        if not self.curved or value <= LINEAR_TO:
            return value / LINEAR_TO
        return 1.0 + math.log10(value / LINEAR_TO)

    @property
    def note(self) -> str:
        """What a reader must know of the axis, "" of a linear one."""
        return f"logarithmic above {LINEAR_TO:g}" if self.curved else ""


def scale_of(column: Column, values: Sequence[float]) -> Scale:
    """The axis of a measure that holds all of `values` and the best one."""
    known = [*values, *([] if column.best is None else [column.best])] or [0.0, 1.0]
    if min(known) >= 0 and max(known) > SPANS * LINEAR_TO and column.high is None:
        return _curved(max(known))
    low, high = min(known), max(known)
    if low == high:  # equal models, or none: an axis has a length
        room = column.high is None or low + LINEAR_TO <= column.high
        low, high = (low, low + LINEAR_TO) if room else (low - LINEAR_TO, high)
    ticks = MaxNLocator(nbins=3, steps=[1, 2, 5, 10], min_n_ticks=2).tick_values(low, high)
    inside = [float(tick) for tick in ticks if column.high is None or tick <= column.high]
    inside = [tick for tick in inside if column.low is None or tick >= column.low]
    return Scale(min(inside[0], low), max(inside[-1], high), tuple(inside))


def _curved(highest: float) -> Scale:
    decades = range(-1, math.ceil(math.log10(highest)) + 1)
    candidates = [0.0, LINEAR_TO / 2, *(lead * 10.0**power for power in decades for lead in LEADS)]
    bare = Scale(0.0, 1.1 * highest, (), curved=True)
    ticks: list[float] = []
    for tick in candidates:
        if tick <= bare.high and (not ticks or bare.at(tick) - bare.at(ticks[-1]) >= CLOSEST):
            ticks.append(tick)
    return Scale(bare.low, bare.high, tuple(ticks), curved=True)
