"""The forgetting score of the NeurIPS 2023 competition: how well each sample's unlearned and retrained models are told.

Triantafillou et al. 2024, "Are we making progress in unlearning?", arXiv 2406.09073: for each forgotten sample the
largest epsilon that an attack on N unlearned and N retrained models bears out, and points for a small one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from deepunlearn.metrics.accuracy import Floats

DELTA = 1e-5
SMALLEST = 3  # models on each side: of two no threshold leaves errors of both kinds but one that decides nothing
FEWEST = SMALLEST + 1  # for a score whose interval leaves out one at a time
PUBLISHED = 512
POINTS_PER_UNIT = 2  # of epsilon: a bin is half a unit wide, and worth half of the one before
_CELLS = 2**22  # of a (samples, thresholds) block

Wide = npt.NDArray[np.float64]


def largest_epsilon(models: int) -> int:
    """The largest epsilon that `models` on each side can bear out, which is what two separate sets of values get."""
    return math.ceil(math.log(models - 1))


def points(epsilon: Wide) -> Wide:
    """[n] of epsilons [n]: 1 below 0.5, halved with each further 0.5.

    The paper's 2 / 2^m, m the number of the bin. Published code gives no points at all at `largest_epsilon`.
    """
    result: Wide = 2.0 ** -np.floor(POINTS_PER_UNIT * epsilon)
    return result


def epsilons(unlearned: Floats, retrained: Floats) -> Wide:
    """[n] epsilon of each sample, 0 to `largest_epsilon`; both [N, n], log p / (1 - p) of the label.

    Two kinds of attack: above a threshold lies the side with the larger median; between two lies the side with the
    smaller range. Of every threshold between two values, with the rates of false positives and false negatives, epsilon
    is max(log (1 - delta - FPR) / FNR, log (1 - delta - FNR) / FPR); a threshold with exactly one rate of 0 is dropped,
    one with both 0 gives `largest_epsilon`. 0 where none is left, as of values that are all equal. Thresholds are those
    between the values, all of them, where published code tries a grid; with all of them its rule for ranges that differ
    a hundredfold (the largest epsilon at once) is not needed and would be wrong where one contains the other by chance.
    """
    assert unlearned.shape == retrained.shape and unlearned.ndim == 2, (unlearned.shape, retrained.shape)
    models, samples = unlearned.shape
    if models < SMALLEST:
        raise ValueError(f"an epsilon takes at least {SMALLEST} models on each side, got {models}")
    result = np.empty(samples)
    for block in _blocks(samples, models):
        one, other = unlearned[:, block], retrained[:, block]
        above = np.median(one, axis=0) >= np.median(other, axis=0)
        inner = np.ptp(one, axis=0) <= np.ptp(other, axis=0)
        counted, real = _cuts(one, other)
        best_above = _above(_of_side(counted, above), real, _epsilon_of(models))
        result[block] = np.maximum(best_above, _between(_of_side(counted, inner), real, _epsilon_between(models)))
    return result


@cache
def _epsilon_of(models: int) -> Wide:
    """[N + 1, N + 1] epsilon where so many of one side and of the other are taken for the one; -1: dropped."""
    false_negatives = 1 - np.arange(models + 1)[:, None] / models
    false_positives = np.arange(models + 1)[None, :] / models
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.fmax(
            np.log((1 - DELTA - false_positives) / false_negatives),
            np.log((1 - DELTA - false_negatives) / false_positives),
        )
    none = (false_negatives == 0) | (false_positives == 0)
    found[np.broadcast_to(none, found.shape) | np.isnan(found)] = -1.0
    found[models, 0] = largest_epsilon(models)
    return np.minimum(found, largest_epsilon(models))


@cache
def _epsilon_between(models: int) -> Wide:
    """[2 N + 1, N + 1] the same where so many values lie between two thresholds, of which so many of the one side."""
    inside, own = np.arange(2 * models + 1)[:, None], np.arange(models + 1)[None, :]
    other = inside - own
    return np.where((other >= 0) & (other <= models), _epsilon_of(models)[own, np.clip(other, 0, models)], -1.0)


def _cuts(one: Floats, other: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """[2 N + 1, b] how many values of the one side are among the so many smallest of both, and which cuts are real.

    A cut between two equal values is none. Samples come last: a maximum over cuts is then taken of many at a time.
    """
    values = np.concatenate([one, other]).T
    order = np.argsort(values, axis=1, kind="stable")
    ascending = np.take_along_axis(values, order, axis=1)
    real = np.ones((values.shape[1] + 1, len(values)), bool)
    real[1:-1] = (ascending[:, 1:] > ascending[:, :-1]).T
    counted = np.zeros(real.shape, np.intp)
    np.cumsum((order < len(one)).T, axis=0, out=counted[1:])
    return counted, real


def _of_side(counted: npt.NDArray[np.intp], first: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """The counts [2 N + 1, b] of the one side where `first` [b], elsewhere those of the other."""
    return np.where(first, counted, np.arange(len(counted))[:, None] - counted)


def _above(counted: npt.NDArray[np.intp], real: npt.NDArray[np.bool_], table: Wide) -> Wide:
    """[b] the best of all single thresholds; what lies above is taken for the side that is counted."""
    models, below = len(counted) // 2, np.arange(len(counted))[:, None]
    found = table[models - counted, models - (below - counted)]
    result: Wide = np.max(np.where(real, found, 0.0), axis=0, initial=0.0)
    return result


def _between(counted: npt.NDArray[np.intp], real: npt.NDArray[np.bool_], table: Wide) -> Wide:
    """[b] the best of all pairs of thresholds; what lies between is taken for the side that is counted."""
    result, tied = np.zeros(counted.shape[1]), not real.all()
    for width in range(1, len(counted)):
        found = table[width][counted[width:] - counted[:-width]]
        if tied:
            found[~(real[width:] & real[:-width])] = 0.0
        np.maximum(result, found.max(axis=0), out=result)
    return result


def _blocks(samples: int, models: int) -> Iterator[slice]:
    size = max(1, _CELLS // (2 * models + 1))
    return (slice(start, start + size) for start in range(0, samples, size))
