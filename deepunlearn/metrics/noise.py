"""What the loss attack says where there is nothing to find: few samples differ by chance, and Indisc stays below 1.

`FLOORS` was drawn by `python scripts/null_bands.py`, which attacks samples of one distribution with `mia_accuracy`. Its
losses are log-normal with a spread of 2 in log nats, as those of networks are (0.5 to 5 in this benchmark). Others give
somewhat other floors: with 122 samples a mean of 0.925 (exponential losses) to 0.959, here 0.951.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import halfnorm

from deepunlearn.metrics.mia import indiscernibility, mia_accuracy

LOG_MEAN, LOG_SPREAD = -2.0, 2.0  # of the losses, in log nats
DRAWS = 400  # per size; the mean is then good to 0.1 of the distance between it and the quantile

Floats = npt.NDArray[np.floating[Any]]


class Floor(NamedTuple):
    """A measure of samples of one distribution: its mean, and the end that 95 % of models keep on the better side."""

    mean: float
    end: float


FLOORS: dict[int, Floor] = {
    10: Floor(0.7943, 0.6000),
    15: Floor(0.7872, 0.5333),
    20: Floor(0.8644, 0.7000),
    30: Floor(0.9063, 0.7667),
    50: Floor(0.9231, 0.8200),
    100: Floor(0.9467, 0.8700),
    200: Floor(0.9644, 0.9100),
    500: Floor(0.9797, 0.9519),
    1000: Floor(0.9851, 0.9670),
    2000: Floor(0.9899, 0.9750),
}


def floor_of(size: int) -> Floor:
    """The floor of `size` samples on each side: 1 - Indisc goes with 1 / sqrt(size) between the sizes of `FLOORS`."""
    places = [0.0, *(known**-0.5 for known in sorted(FLOORS, reverse=True))]
    floors = [Floor(1.0, 1.0), *(FLOORS[known] for known in sorted(FLOORS, reverse=True))]
    return Floor(*(float(np.interp(size**-0.5, places, column)) for column in zip(*floors, strict=True)))


def disc_auc_floor_of(members: int, others: int) -> Floor:
    """The floor of Disc_AUC, that of a half-normal: Mann and Whitney's statistic of two equal distributions."""
    spread = ((members + others + 1) / (3 * members * others)) ** 0.5
    return Floor(*(float(end) for end in (halfnorm.mean(scale=spread), halfnorm.ppf(0.95, scale=spread))))


def simulated(size: int, draws: int) -> Floats:
    """Indisc of `draws` pairs of samples of one distribution, `size` losses on each side; [draws]."""
    generator = np.random.default_rng([0, size])
    return np.array([_indisc(generator, size, number) for number in range(draws)])


def _indisc(generator: np.random.Generator, size: int, seed: int) -> float:
    members, others = np.exp(generator.normal(LOG_MEAN, LOG_SPREAD, (2, size)))
    return indiscernibility(mia_accuracy(members, others, seed))


def contradiction(indisc: Floats, disc_auc: Floats) -> Floats:
    """How far Disc lies outside of what Disc_AUC leaves room for; 0 where they agree, NaN where one is not defined.

    The two are not the same number: the best threshold's Disc is J, the largest distance of the ROC curve from the
    diagonal. The area below a curve that keeps this distance is at most 1 - (1 - J)^2 / 2, so J is at least
    1 - sqrt(1 - Disc_AUC), and at most Disc_AUC where the curve is concave. So models that are merely told apart well
    do not count as contradictions, as a plain difference would have it (0.16 for two Gaussians).
    """
    disc = 1 - indisc
    gap: Floats = np.maximum(np.maximum(1 - np.sqrt(1 - disc_auc) - disc, disc - disc_auc), 0.0)
    return gap
