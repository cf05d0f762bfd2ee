"""IAM: how far a sample has moved back from where the original had it to where models are that never saw it.

Wang et al. 2025, "Towards lifecycle unlearning commitment management: measuring sample-level unlearning completeness",
arXiv 2506.06112 (interpolated approximate measurement).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from deepunlearn.metrics.accuracy import Floats, Integers
from deepunlearn.ulira.left_out import FEWEST, blocks, numbered, others, present
from deepunlearn.ulira.scores import Bools, Scores, Wide

VERSION = 1
STEPS = 100  # of the interpolation, its ends included
INNER, OUTER = 1e-5, 1e-2  # of the bounded Gumbel map: added to p, and to its negative logarithm
SPREAD_FLOOR = 1e-4  # of the map: so little tells no two models apart
_FURTHEST = 1e-6  # a score is kept so far from 0 and 1, that its logit is finite


def bounded_gumbel(phi: Floats) -> Wide:
    """-log(0.01 - log(1e-5 + p)) of p = 1 / (1 + exp -phi): -2.4 to 4.6, growing with p."""
    with np.errstate(invalid="ignore"):
        inner = OUTER - np.log(INNER + expit(phi.astype(np.float64)))
    result: Wide = -np.log(np.maximum(inner, 1e-9))  # p + 1e-5 may be 1 and a little
    return result


@dataclass(frozen=True)
class Originals:
    """phi [O, n] of originals, group [O] as of the models, and which samples each was trained on [O, n]."""

    phi: Floats
    group: Integers
    trained: Bools


def iam(phi: Floats, group: Integers, positive: Bools, negative: Bools, originals: Originals) -> Scores:
    """Score every observation of either class; arguments as of `scores.log_odds`.

    s is `bounded_gumbel`. Its mean over models of other groups that never saw x and its mean over originals of other
    groups that were trained on x are the ends; between them, in 99 steps a from 0, lie Gumbel distributions with mean
    (1 - a) out + a in and spread (1 - a) of that over the models that never saw x, by moments. Score: the mean of their
    distribution functions at s, weighted by the next a; near 0 where the model has only what generalises, near 1 where
    it fits as an original. As a logit, on the scale of log odds; it orders observations and has no threshold.

    The paper takes the model's own original for the second end, and compares samples that it was trained on, all of
    them. Here half were not: their own original would tell the two classes apart whatever was unlearned (an AUC of 0.2
    where nothing differs). The spread is the sample's own; of one shadow model published code takes that over samples.
    """
    index, names = numbered(group), np.unique(group)
    if not np.array_equal(np.unique(originals.group), names):
        raise ValueError(f"originals are of groups {np.unique(originals.group)}, models of groups {names}")
    of_original = np.searchsorted(names, originals.group)
    odds, known = np.zeros(phi.shape, np.float32), np.zeros(phi.shape, bool)
    left_out = 0
    for block in blocks(*phi.shape):
        signal = bounded_gumbel(phi[:, block])
        out = others(signal, index, negative[:, block])
        fitted = others(bounded_gumbel(originals.phi[:, block]), of_original, originals.trained[:, block])
        enough = (out.groups >= FEWEST) & (fitted.observations > 0)
        attacked = positive[:, block] | negative[:, block]
        known[:, block] = attacked & enough[index]
        left_out += int(np.count_nonzero(present(attacked, index) & ~enough))
        rows, columns = np.nonzero(known[:, block])
        ends = out.mean, fitted.mean, np.sqrt(out.variance)
        scores = _completeness(signal[rows, columns], *(one[index[rows], columns] for one in ends))
        odds[:, block][rows, columns] = logit(np.clip(scores, _FURTHEST, 1 - _FURTHEST))
    return Scores(odds, known, left_out)


def _completeness(signal: Wide, mean: Wide, fitted: Wide, spread: Wide) -> npt.NDArray[np.float32]:
    """[k] of observations, 0 to 1; higher is more like the original."""
    steps = np.linspace(0, 1, STEPS)
    scale = (np.sqrt(6) / np.pi * np.maximum(spread, SPREAD_FLOOR)).astype(np.float32)
    distance, reach = ((one / scale).astype(np.float32) for one in (signal - mean, fitted - mean))
    total = np.zeros(len(signal), np.float32)
    for step, weight in pairwise(steps):
        standard = (distance - np.float32(step) * reach) / np.float32(1 - step) + np.float32(np.euler_gamma)
        with np.errstate(over="ignore"):  # exp of a large number is infinite, and the distribution function 0
            total += np.float32(weight) * np.exp(-np.exp(-standard))
    result: npt.NDArray[np.float32] = total / np.float32(steps.sum())
    return result
