"""Intervals and chance levels of what is computed from several unlearned and several retrained models.

Models are what is drawn at random; the samples are those that there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from deepunlearn.metrics.accuracy import Floats

RESAMPLED = 1000  # samples that intervals and chance levels are computed on, evenly spaced among all
SWAPS = 99  # random ones: with the value itself a hundred, of which 5 may be larger by chance

Wide = npt.NDArray[np.float64]
Statistic = Callable[[Any, Any], Wide]


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


def _as_they_are(unlearned: Floats, retrained: Floats) -> tuple[Floats, Floats]:
    return unlearned, retrained


def levels(
    statistic: Statistic,
    unlearned: Floats,
    retrained: Floats,
    seed: int,
    prepared: Callable[[Floats, Floats], tuple[Any, Any]] = _as_they_are,
) -> list[Level]:
    """Of each value of a statistic of models [M, n]; both [G, k, n]: k models of each of G independent groups.

    The statistic may depend on the number of models. The interval is for its mean over models of this kind in the same
    number, not for what infinitely many would give: a jackknife that leaves each group out once, with Student's
    quantile, since that statistic's bias is the same with and without one group but for little. Chance: unlearned and
    retrained models of a group change places at random, as they could where there is no difference.

    prepared: gives what the statistic looks at in place of all values, [M, n] of either side. It must be the same
    whichever side a value is on: it is asked once, not for each exchange.
    """
    assert unlearned.ndim == 3 and unlearned.shape == retrained.shape, (unlearned.shape, retrained.shape)

    def of(one: Floats, other: Floats) -> Wide:
        return statistic(*prepared(_flat(one), _flat(other)))

    values = of(unlearned, retrained)
    step = -(-unlearned.shape[2] // RESAMPLED)
    few = unlearned[:, :, ::step], retrained[:, :, ::step]
    halves = _half_widths(of, *few)
    one, other = (side.reshape(few[0].shape) for side in prepared(*map(_flat, few)))
    chances = _by_chance(statistic, one, other, np.random.default_rng(seed))
    twentieth = (SWAPS + 1) // 20
    ends = np.sort(chances, axis=0)[[twentieth - 1, -twentieth]]
    columns = values, values - halves, values + halves, chances.mean(axis=0), *ends
    return [Level(*map(float, line)) for line in zip(*columns, strict=True)]


def _half_widths(statistic: Statistic, unlearned: Floats, retrained: Floats) -> Wide:
    groups = len(unlearned)
    if groups < 3:
        return np.full(len(statistic(unlearned, retrained)), np.nan)
    kept = [np.delete(np.arange(groups), group) for group in range(groups)]
    left = np.array([statistic(unlearned[rows], retrained[rows]) for rows in kept])
    spread = np.sqrt((groups - 1) / groups * np.sum((left - left.mean(axis=0)) ** 2, axis=0))
    result: Wide = student.ppf(0.975, groups - 1) * spread
    return result


def _by_chance(statistic: Statistic, unlearned: Any, retrained: Any, generator: np.random.Generator) -> Wide:
    """[SWAPS, values] with the sides of each group exchanged at random."""
    swaps = generator.random((SWAPS, len(unlearned), 1, 1)) < 0.5
    both = ((np.where(swap, retrained, unlearned), np.where(swap, unlearned, retrained)) for swap in swaps)
    return np.array([statistic(_flat(one), _flat(other)) for one, other in both])


def _flat(models: Any) -> Any:
    return models.reshape(-1, models.shape[-1])
