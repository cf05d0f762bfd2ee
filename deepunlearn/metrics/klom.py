"""KLoM: how far the margins of a sample under unlearned models lie from those under retrained ones, model by model.

Rinberg et al. 2024, "Attribute-to-delete: machine unlearning via datamodel matching" (KL divergence of margins).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from deepunlearn.metrics.accuracy import Floats

FEWEST = 10  # models on each side: with fewer most of the 20 bins are empty and the number is that of chance
BETTER = 30
PUBLISHED = 100
BINS = 20
LIMIT = 100.0  # margins beyond it are counted at it
FLOOR = 1e-5  # added to each bin's share, so that an empty one costs log(1e5) = 11.5 nats and not infinitely many
_SAMPLES = 4096  # per block

Wide = npt.NDArray[np.float64]
Bins = npt.NDArray[np.uint8]


def klom(unlearned: Floats, retrained: Floats) -> Wide:
    """[n] KL(unlearned || retrained) of each sample's margins in nats, 0 to 11.5; unlearned [U, n], retrained [R, n].

    The margin is z_y - logsumexp of the others, which is log p / (1 - p). Histograms of 20 bins over both sides'
    values, clipped to [-100, 100]. The order is the paper's: what unlearned models do and retrained ones never do
    costs most. The largest value belongs to the last bin (published code drops it).
    """
    return klom_of_bins(*binned(unlearned, retrained))


def binned(unlearned: Floats, retrained: Floats) -> tuple[Bins, Bins]:
    """The bin of each margin, [U, n] and [R, n]: the same whichever side a margin is on."""
    assert unlearned.ndim == 2 and unlearned.shape[1:] == retrained.shape[1:], (unlearned.shape, retrained.shape)
    sides = unlearned, retrained
    own, other = (np.empty(side.shape, np.uint8) for side in sides)
    for block in _blocks(unlearned.shape[1]):
        own[:, block], other[:, block] = _bins(*(side[:, block] for side in sides))
    return own, other


def klom_of_bins(unlearned: Bins, retrained: Bins) -> Wide:
    """As `klom`, of margins that are `binned`."""
    terms, result = _terms(len(unlearned), len(retrained)), np.empty(unlearned.shape[1])
    for block in _blocks(len(result)):
        result[block] = terms[_counts(unlearned[:, block]), _counts(retrained[:, block])].sum(axis=1)
    return result


@cache
def _terms(unlearned: int, retrained: int) -> Wide:
    """[U + 1, R + 1] what a bin adds to the divergence that so many of U and of R margins are in."""
    own, other = ((np.arange(models + 1) / models + FLOOR) / (1 + BINS * FLOOR) for models in (unlearned, retrained))
    result: Wide = own[:, None] * np.log(own[:, None] / other)
    return result


def _bins(*sides: Floats) -> list[Bins]:
    """Of each side [M, b] the bins of its values, over the range of all sides."""
    clipped = [np.clip(side, -LIMIT, LIMIT).astype(np.float64) for side in sides]
    low = np.min([side.min(axis=0) for side in clipped], axis=0)
    high = np.max([side.max(axis=0) for side in clipped], axis=0)
    width = np.where(high > low, high - low, 1) / BINS
    return [np.minimum((side - low) // width, BINS - 1).astype(np.uint8) for side in clipped]


def _counts(bins: Bins) -> npt.NDArray[np.intp]:
    """[b, BINS] how many of each sample's values [M, b] are in each."""
    samples = bins.shape[1]
    return np.bincount((bins + BINS * np.arange(samples)).ravel(), minlength=BINS * samples).reshape(samples, BINS)


def _blocks(samples: int) -> Iterator[slice]:
    return (slice(start, start + _SAMPLES) for start in range(0, samples, _SAMPLES))
