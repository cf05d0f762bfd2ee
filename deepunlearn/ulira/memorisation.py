"""Memorisation of each sample: how much more often models get it right that were trained on it.

Feldman and Zhang 2020, "What neural networks memorize and why", arXiv 2008.03703: accuracy in minus accuracy out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from deepunlearn.ulira.scores import Bools, Wide

VERSION = 1
MEMORISED = 0.25  # Feldman and Zhang count samples from here on as memorised


@dataclass(frozen=True)
class Memorisation:
    """Of each sample, -1 to 1, with its 95 % interval; all [n]."""

    score: Wide
    low: Wide
    high: Wide


def memorisation(right: Bools, trained: Bools) -> Memorisation:
    """right, trained [M, n]: whether model m gets sample x right, and whether it was trained on it.

    The interval is Newcombe's for a difference of two shares (1998, method 10), from Wilson's for each: with few models
    a share of 0 or 1 is no certainty. Raises ValueError for a sample that all or none of the models were trained on.
    """
    assert right.shape == trained.shape, (right.shape, trained.shape)
    counts = trained.sum(axis=0), (~trained).sum(axis=0)
    if min(int(count.min()) for count in counts) == 0:
        raise ValueError(
            "memorisation compares models that were trained on a sample with others, and some sample lacks these"
        )
    hits = (right & trained).sum(axis=0), (right & ~trained).sum(axis=0)
    inside, outside = (_wilson(hit, count) for hit, count in zip(hits, counts, strict=True))
    score = inside[0] - outside[0]
    low = score - np.hypot(inside[0] - inside[1], outside[2] - outside[0])
    high = score + np.hypot(inside[2] - inside[0], outside[0] - outside[1])
    return Memorisation(score, low, high)


def _wilson(hits: npt.NDArray[np.intp], count: npt.NDArray[np.intp]) -> tuple[Wide, Wide, Wide]:
    """A share and the ends of its interval."""
    share, square = hits / count, norm.ppf(0.975) ** 2
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = np.sqrt(square * (share * (1 - share) / count + square / (4 * count**2))) / (1 + square / count)
    return share, centre - half, centre + half
