"""95 % intervals of what the checks look at: shares, differences of paired shares, areas under ROC curves.

All are computed and none is drawn, so that a report comes out the same again; all hold for few samples, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, norm

from deepunlearn.deletion.report import Estimate

CONFIDENCE = 0.95
_Z = float(norm.ppf((1 + CONFIDENCE) / 2))
_EDGE = 1e-12  # of an open range


def share(hits: int, samples: int) -> Estimate:
    """A share of independent samples: Clopper and Pearson 1934, exact."""
    ends = binomtest(hits, samples).proportion_ci(CONFIDENCE, method="exact")
    return Estimate(value=hits / samples, low=float(ends.low), high=float(ends.high))


def paired_drop(lost: int, gained: int, samples: int) -> Estimate:
    """The difference of two shares of the same samples, (lost - gained) / samples: Tango's score interval.

    lost: samples that count in the first share alone; gained: in the second alone. Tango 1998 (Statistics in Medicine
    17:891), equation 4 and the solution of its quadratic; its ends are where the score test just does not refuse.
    """
    assert min(lost, gained) >= 0 and lost + gained <= samples
    value = (lost - gained) / samples

    def score(drop: float) -> float:
        return _tango(lost, gained, samples, drop)

    return Estimate(value=value, low=_end(score, _Z, value, -1.0), high=_end(score, -_Z, value, 1.0))


def least_drop(samples: int) -> float:
    """The upper end of `paired_drop` where all samples count in both shares or in neither."""
    return _Z**2 / (samples + _Z**2)


def enough_for(drop: float) -> int:
    """The fewest samples whose `least_drop` is at most `drop`."""
    return math.ceil(_Z**2 * (1 / drop - 1))


def _tango(lost: int, gained: int, samples: int, drop: float) -> float:
    """The score statistic of the hypothesis that the true difference is `drop`."""
    linear = -lost - gained + (2 * samples - lost + gained) * drop
    constant = -gained * drop * (1 - drop)
    root = math.sqrt(max(linear**2 - 8 * samples * constant, 0.0))
    gained_share = max((root - linear) / (4 * samples), 0.0)  # maximum likelihood under the hypothesis
    variance = samples * (2 * gained_share + drop * (1 - drop))
    return (lost - gained - samples * drop) / math.sqrt(max(variance, _EDGE**2))


def auc(value: float, members: int, others: int) -> Estimate:
    """The area under a ROC curve, of two groups of these sizes: Newcombe's score interval.

    Newcombe 2006 (Statistics in Medicine 25:559), method 5: Hanley and McNeil's variance at the end that is looked for,
    with the mean of the two sizes in it. At 0.5 that is the variance of Mann and Whitney's statistic of equal groups.
    """

    def score(area: float) -> float:
        mean = (members + others) / 2 - 1
        spread = 1 + mean * ((1 - area) / (2 - area) + area / (1 + area))
        return (value - area) / math.sqrt(area * (1 - area) * spread / (members * others))

    return Estimate(value=value, low=_end(score, _Z, value, 0.0), high=_end(score, -_Z, value, 1.0))


def _end(score: Callable[[float], float], wanted: float, value: float, limit: float) -> float:
    """Where between `value` and `limit` the score, 0 at the value, is `wanted`; the limit where it never gets there."""
    inner = float(np.clip(value, min(limit, value) + _EDGE, max(limit, value) - _EDGE)) if value != limit else value
    outer = limit - _EDGE * np.sign(limit - value)
    if value == limit or (score(outer) - wanted) * wanted < 0:
        return limit
    return float(brentq(lambda one: score(one) - wanted, inner, outer, xtol=1e-10))
