"""What a search is worth: the score of its best values on seeds that it has not seen, by the device seconds it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from scipy.stats import t

LEVEL = 0.95
LEAST = 0.001  # norm that a ratio tells from others: a hundredth of a good one


@dataclass(frozen=True)
class Curve:
    """The score in hand after so many device seconds; seconds ascend from 0, where default values are all there is."""

    seconds: tuple[float, ...]
    norms: tuple[float, ...]
    total: float  # seconds of the whole search

    def at(self, seconds: float) -> float:
        """The score of who stops it then."""
        return self.norms[int(np.searchsorted(self.seconds, seconds, side="right")) - 1]

    @property
    def final(self) -> float:
        return self.norms[-1]


@dataclass(frozen=True)
class Trial:
    """norm: of the search itself, on the seed that it searched on; None without a score."""

    slot: int
    seed: int
    seconds: float
    norm: float | None


def in_turns(trials: Sequence[Trial]) -> list[Trial]:
    """As one device makes them that goes on with each study in turn, so that who stops early has some of each."""
    return sorted(trials, key=lambda trial: (trial.slot, trial.seed))


def bests(trials: Sequence[Trial]) -> list[tuple[float, Trial]]:
    """Each trial that is the best so far, and the device seconds until it is done. Ties go to the earlier one."""
    spent = accumulate(trial.seconds for trial in trials)
    found: list[tuple[float, Trial]] = []
    smallest = math.inf
    for seconds, trial in zip(spent, trials, strict=True):
        if trial.norm is not None and trial.norm < smallest:
            smallest = trial.norm
            found.append((seconds, trial))
    return found


def mean_curve(curves: Sequence[Curve], grid: Sequence[float]) -> np.ndarray:
    """[grid, (mean, lowest, highest)] over repeats."""
    table = np.array([[curve.at(seconds) for curve in curves] for seconds in grid])
    return np.column_stack([table.mean(1), table.min(1), table.max(1)])


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval (Student's t); no interval of a single value."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        mean = math.fsum(values) / len(values)
        if len(values) < 2:
            return cls(mean, None, None)
        half = float(t.ppf((1 + LEVEL) / 2, len(values) - 1)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return cls(mean, mean - half, mean + half)

    def map(self, function: Callable[[float], float]) -> Interval:
        """Of a function that ascends."""
        low, high = (None if end is None else function(end) for end in (self.low, self.high))
        return Interval(function(self.mean), low, high)

    def __str__(self) -> str:
        ends = "" if self.low is None else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.mean:.3f}{ends}"


def ratio(values: Sequence[float], base: Sequence[float]) -> Interval:
    """values / base, repeat by repeat: the geometric mean, since a ratio and its inverse are to weigh the same.

    What is below LEAST counts as that, so that a norm of 0 has a ratio.
    """
    pairs = zip(values, base, strict=True)
    return Interval.of([math.log(max(a, LEAST) / max(b, LEAST)) for a, b in pairs]).map(math.exp)


def ratio_over_methods(values: Mapping[str, Sequence[float]], base: Mapping[str, Sequence[float]]) -> Interval:
    """The same over methods, each of which counts once: its repeats do not tell of other methods, as they share it."""
    return Interval.of([math.log(ratio(values[name], base[name]).mean) for name in values]).map(math.exp)
