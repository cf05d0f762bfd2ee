"""Whether another trial of a study is expected to gain more than seeds differ (`search.stops_early`). Imports no torch.

Optuna's own way, `optuna.terminator`, is deprecated and will be gone in version 6.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import norm, qmc
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from deepunlearn.core.params import Range, Value

FEWEST = 10  # trials before the first judgement
IN_A_ROW = 3  # judgements that have to agree, each after one more completed trial: a model of few trials is often wrong
CANDIDATES = 9  # binary logarithm of the number of places where the gain is looked for
SMALLEST = 1e-12  # for deviations that are divided by

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stop:
    """After how many trials a study ends: what the next one is expected to gain, and by how much seeds differ."""

    after: int
    gain: float
    noise: float

    def __str__(self) -> str:
        return (
            f"stopped after {self.after} trials: the next one is expected to gain {self.gain:.2g}, and the default "
            f"values differ by {self.noise:.2g} between seeds"
        )


class GainWatch:
    """Judges a study again after each completed trial; keeps what it has computed.

    repeats: how many trials the study begins with that have the default values, each on another seed. What it says
    depends on the trials alone, in the order of their slots: all workers agree, and so does who goes on after a kill.
    """

    def __init__(self, ranges: Mapping[str, Range], repeats: int) -> None:
        self.ranges, self.repeats = ranges, repeats
        self._gains: dict[int, float] = {}  # number of trials -> gain of another one

    def stop(self, finished: Mapping[int, FrozenTrial]) -> Stop | None:
        """The first place where the study may end; None: it goes on. Only slots without a gap before them count."""
        trials: list[FrozenTrial] = []
        while len(trials) in finished:
            trials.append(finished[len(trials)])
        noise = noise_of(trials[: self.repeats])
        if noise is None:
            return None
        agreeing = 0
        for count in range(max(FEWEST, self.repeats + 1), len(trials) + 1):
            if trials[count - 1].state != TrialState.COMPLETE:
                continue
            gain = self._gain(trials[:count])
            agreeing = agreeing + 1 if gain < noise else 0
            if agreeing == IN_A_ROW:
                return Stop(count, gain, noise)
        return None

    def _gain(self, trials: Sequence[FrozenTrial]) -> float:
        count = len(trials)
        if count not in self._gains:
            done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
            places = np.array([places_of(self.ranges, trial.params) for trial in done])
            self._gains[count] = expected_gain(self.ranges, places, np.array([trial.value for trial in done], float))
        return self._gains[count]


def noise_of(trials: Sequence[FrozenTrial]) -> float | None:
    """Standard deviation over seeds of the sum of losses of equal values; None where fewer than two were completed."""
    sums = [trial.value for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    return float(np.std(sums, ddof=1)) if len(sums) > 1 else None


def places_of(ranges: Mapping[str, Range], drawn: Mapping[str, Value]) -> list[float]:
    """Where each drawn value lies in its range, in [0, 1]; of the k-th of n choices the middle of the k-th part."""
    return [_place(limits, drawn[name]) for name, limits in ranges.items()]


def _place(limits: Range, value: Value) -> float:
    if limits.choices is not None:
        return (limits.choices.index(value) + 0.5) / len(limits.choices)
    assert limits.low is not None and limits.high is not None
    low, high, own = (math.log(end) if limits.log else float(end) for end in (limits.low, limits.high, float(value)))
    return (own - low) / (high - low) if high > low else 0.0


def expected_gain(ranges: Mapping[str, Range], places: Floats, sums: Floats) -> float:
    """The largest expected improvement of any values over the best so far, in units of `sums` [N].

    places [N, D]: in [0, 1], as `places_of`. By a Gaussian process with a Matern kernel and noise; the best is the
    lowest of its means where trials were, since the lowest sum is the luckiest.
    """
    middle, deviation = sums.mean(), max(float(sums.std()), SMALLEST)
    width = len(_spread_out(ranges, places[:1])[0])
    kernel = ConstantKernel() * Matern(np.ones(width), (0.05, 20.0), nu=2.5) + WhiteKernel(0.1, (1e-4, 1.0))
    model = GaussianProcessRegressor(kernel)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound: a value that does not matter
        model.fit(_spread_out(ranges, places), (sums - middle) / deviation)
    candidates = qmc.Sobol(len(ranges), scramble=False).random_base2(CANDIDATES)
    best = float(model.predict(_spread_out(ranges, places)).min())
    mean, spread = model.predict(_spread_out(ranges, candidates), return_std=True)
    spread = np.sqrt(np.maximum(spread**2 - model.kernel_.k2.noise_level, SMALLEST))
    ahead = (best - mean) / spread
    return float((spread * (ahead * norm.cdf(ahead) + norm.pdf(ahead))).max()) * deviation


def _spread_out(ranges: Mapping[str, Range], places: Floats) -> Floats:
    """[N, D] -> [N, columns]: a number as it is, a choice as a column for each, 1 in its own: all are equally far."""
    columns: list[Floats] = []
    for place, limits in zip(places.T, ranges.values(), strict=True):
        if limits.choices is None:
            columns.append(place[:, None])
        else:
            which = np.minimum((place * len(limits.choices)).astype(int), len(limits.choices) - 1)
            columns.append(np.eye(len(limits.choices))[which])
    return np.concatenate(columns, axis=1)
