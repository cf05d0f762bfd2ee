"""KLoM: how far the margins of a sample under unlearned models lie from those under retrained ones, model by model.

Rinberg et al. 2024, "Attribute-to-delete: machine unlearning via datamodel matching" (KL divergence of margins).
"""

from __future__ import annotations

from collections.abc import Iterator

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


def klom(unlearned: Floats, retrained: Floats) -> Wide:
    """[n] KL(unlearned || retrained) of each sample's margins in nats, 0 to 11.5; unlearned [U, n], retrained [R, n].

    The margin is z_y - logsumexp of the others, which is log p / (1 - p). Histograms of 20 bins over both sides'
    values, clipped to [-100, 100]. The order is the paper's: what unlearned models do and retrained ones never do
    costs most. The largest value belongs to the last bin (published code drops it).
    """
    assert unlearned.ndim == 2 and unlearned.shape[1:] == retrained.shape[1:], (unlearned.shape, retrained.shape)
    result = np.empty(unlearned.shape[1])
    for block in _blocks(len(result)):
        result[block] = _divergence(*_shares(unlearned[:, block], retrained[:, block]))
    return result


def _divergence(own: Wide, other: Wide) -> Wide:
    """[b] KL of shares [b, BINS], none of them 0."""
    result: Wide = np.sum(own * np.log(own / other), axis=1)
    return result


def _shares(*sides: Floats) -> list[Wide]:
    """Of each side [M, b] the shares of its values in bins over all sides, [b, BINS]."""
    clipped = [np.clip(side, -LIMIT, LIMIT).astype(np.float64) for side in sides]
    low = np.min([side.min(axis=0) for side in clipped], axis=0)
    high = np.max([side.max(axis=0) for side in clipped], axis=0)
    width = np.where(high > low, high - low, 1) / BINS
    return [_share(np.minimum((side - low) // width, BINS - 1).astype(np.intp)) for side in clipped]


def _share(bins: npt.NDArray[np.intp]) -> Wide:
    """[b, BINS] of the bins [M, b] of each sample's values."""
    models, samples = bins.shape
    counts = np.bincount((bins + BINS * np.arange(samples)).ravel(), minlength=BINS * samples).reshape(samples, BINS)
    shares: Wide = counts / models + FLOOR
    return shares / (1 + BINS * FLOOR)


def _blocks(samples: int) -> Iterator[slice]:
    return (slice(start, start + _SAMPLES) for start in range(0, samples, _SAMPLES))
