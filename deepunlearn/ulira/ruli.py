"""RULI: as U-LiRA, with kernel densities in place of Gaussians.

Naderloui et al. 2025, "Rectifying privacy and efficacy measurements in machine unlearning: a new inference attack
perspective" (USENIX Security).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deepunlearn.metrics.accuracy import Floats, Integers
from deepunlearn.ulira.left_out import FEWEST, numbered, others, present
from deepunlearn.ulira.scores import VARIANCE_FLOOR, Bools, Scores, Wide

VERSION = 1
_ELEMENTS = 2**22  # of a (attacked, fitted, samples) block


class _Class(NamedTuple):
    """The observations of one class, sample by sample: all [k, b], k the most that a sample has."""

    rows: npt.NDArray[np.intp]
    there: Bools
    values: Wide
    groups: npt.NDArray[np.intp]


def ruli(phi: Floats, group: Integers, positive: Bools, negative: Bools) -> Scores:
    """Score every observation of either class; arguments and scores as of `scores.log_odds`.

    p_u and p_out are the kernel densities of phi over the models of other groups, of either class; the paper's score
    p_u / (p_u + p_out) is the posterior of these log odds. Gaussian kernels, bandwidth by Scott's rule: the standard
    deviation (its variance floored as in U-LiRA) times count^(-1/5).
    """
    index = numbered(group)
    odds, known = np.zeros(phi.shape, np.float32), np.zeros(phi.shape, bool)
    left_out = 0
    attacked = int(max((positive | negative).sum(axis=0).max(), 1))
    width = max(1, _ELEMENTS // attacked**2)
    for start in range(0, phi.shape[1], width):
        block = slice(start, start + width)
        values = phi[:, block].astype(np.float64) - phi[:1, block]
        roles = positive[:, block], negative[:, block]
        moments = [others(values, index, role) for role in roles]
        enough = np.min([one.groups for one in moments], axis=0) >= FEWEST
        known[:, block] = (roles[0] | roles[1]) & enough[index]
        left_out += int(np.count_nonzero(present(roles[0] | roles[1], index) & ~enough))
        points = _gathered(values, index, known[:, block])
        spreads = [
            np.sqrt(np.maximum(one.variance, VARIANCE_FLOOR)) * np.maximum(one.observations, 1) ** -0.2
            for one in moments
        ]
        densities = [
            _log_density(points, _gathered(values, index, role), spread, one.observations)
            for role, spread, one in zip(roles, spreads, moments, strict=True)
        ]
        columns = np.broadcast_to(np.arange(points.rows.shape[1]), points.rows.shape)
        chosen = points.rows[points.there], columns[points.there]
        odds[:, block][chosen] = (densities[0] - densities[1])[points.there]
    return Scores(odds, known, left_out)


def _gathered(values: Wide, index: npt.NDArray[np.intp], role: Bools) -> _Class:
    rows = np.argsort(~role, axis=0, kind="stable")[: int(role.sum(axis=0).max(initial=1)) or 1]
    there = np.take_along_axis(role, rows, axis=0)
    return _Class(rows, there, np.take_along_axis(values, rows, axis=0), index[rows])


def _log_density(points: _Class, fitted: _Class, spread: Wide, count: Wide) -> Wide:
    """[k, b] of the points, by the kernels of other groups; spread and count [G, b]."""
    own = np.take_along_axis(spread, points.groups, axis=0)
    number = np.take_along_axis(count, points.groups, axis=0)
    exponents = (points.values[:, None] - fitted.values[None]) / own[:, None]
    np.multiply(exponents, exponents, out=exponents)
    exponents *= -0.5
    kept = fitted.there[None] & (points.groups[:, None] != fitted.groups[None])
    exponents[~kept] = -np.inf
    largest = exponents.max(axis=1, initial=-1e300)
    np.subtract(exponents, largest[:, None], out=exponents)
    total = np.exp(exponents, out=exponents).sum(axis=1)
    result: Wide = np.log(np.maximum(total, 1e-300)) + largest - np.log(np.maximum(number, 1) * own)
    return result
