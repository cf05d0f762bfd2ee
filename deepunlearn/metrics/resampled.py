"""Intervals and chance levels of what is computed from several unlearned and several retrained models.

Models are what is drawn at random; the samples are those that there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from deepunlearn.metrics.accuracy import Floats

RESAMPLED = 1000  # samples that intervals and chance levels are computed on, evenly spaced among all
SWAPS = 99  # random ones: with the value itself a hundred, of which 5 may be larger by chance

Wide = npt.NDArray[np.float64]
Statistic = Callable[[Floats, Floats], Wide]


@dataclass(frozen=True)
class Level:
    """A value with its 95 % interval, and what chance alone gives: its mean, and ends that 5 % pass on either side.

    low and high are NaN where fewer than 3 groups of models can be left out.
    """

    value: float
    low: float
    high: float
    chance: float
    chance_low: float
    chance_high: float


def levels(statistic: Statistic, unlearned: Floats, retrained: Floats, seed: int) -> list[Level]:
    """Of each value of a statistic of models [M, n]; both [G, k, n]: k models of each of G independent groups.

    The statistic may depend on the number of models. The interval is for its mean over models of this kind in the same
    number, not for what infinitely many would give: a jackknife that leaves each group out once, with Student's
    quantile, since that statistic's bias is the same with and without one group but for little. Chance: unlearned and
    retrained models of a group change places at random, as they could where there is no difference.
    """
    assert unlearned.ndim == 3 and unlearned.shape == retrained.shape, (unlearned.shape, retrained.shape)
    values = statistic(_flat(unlearned), _flat(retrained))
    step = -(-unlearned.shape[2] // RESAMPLED)
    few = unlearned[:, :, ::step], retrained[:, :, ::step]
    halves = _half_widths(statistic, *few)
    chances = _by_chance(statistic, *few, np.random.default_rng(seed))
    twentieth = (SWAPS + 1) // 20
    ends = np.sort(chances, axis=0)[[twentieth - 1, -twentieth]]
    columns = values, values - halves, values + halves, chances.mean(axis=0), *ends
    return [Level(*map(float, line)) for line in zip(*columns, strict=True)]


def _half_widths(statistic: Statistic, unlearned: Floats, retrained: Floats) -> Wide:
    groups = len(unlearned)
    if groups < 3:
        return np.full(len(statistic(_flat(unlearned), _flat(retrained))), np.nan)
    kept = [np.delete(np.arange(groups), group) for group in range(groups)]
    left = np.array([statistic(_flat(unlearned[rows]), _flat(retrained[rows])) for rows in kept])
    spread = np.sqrt((groups - 1) / groups * np.sum((left - left.mean(axis=0)) ** 2, axis=0))
    result: Wide = student.ppf(0.975, groups - 1) * spread
    return result


def _by_chance(statistic: Statistic, unlearned: Floats, retrained: Floats, generator: np.random.Generator) -> Wide:
    """[SWAPS, values] with the sides of each group exchanged at random."""
    swaps = generator.random((SWAPS, len(unlearned), 1, 1)) < 0.5
    both = ((np.where(swap, retrained, unlearned), np.where(swap, unlearned, retrained)) for swap in swaps)
    return np.array([statistic(_flat(one), _flat(other)) for one, other in both])


def _flat(models: Floats) -> Floats:
    return models.reshape(-1, models.shape[-1])
