"""RMIA: a sample is taken for a forgotten one where its probability rose more than that of others never trained on.

Zarifzadeh et al. 2024, "Low-cost high-power membership inference attacks", arXiv 2312.03262, offline form. It fits no
distribution and needs few shadow models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from deepunlearn.metrics.accuracy import Floats, Integers
from deepunlearn.ulira.left_out import FEWEST, blocks, numbered, others, present
from deepunlearn.ulira.scores import Bools, Scores

VERSION = 1
SLOPE = (
    0.3  # a of the paper: how the mean over models that trained on a sample follows from that over those that did not
)


def rmia(phi: Floats, group: Integers, positive: Bools, negative: Bools) -> Scores:
    """Score every observation of either class; arguments as of `scores.log_odds`.

    The ratio of x in a model is p(x) / pbar(x), pbar = ((1 + a) m + 1 - a) / 2 with m the mean of p over the models of
    other groups that never saw x. Score: the share of that model's never-seen samples z with a smaller ratio (gamma 1),
    x itself left out, as a logit of (smaller + 1/2) / (all + 1), so that it lies on the scale of log odds. It orders
    observations and says nothing of a threshold.
    """
    index = numbered(group)
    ratio = np.empty(phi.shape, np.float32)
    known = np.zeros(phi.shape, bool)
    left_out = 0
    for block in blocks(*phi.shape):
        p = expit(phi[:, block].astype(np.float64))
        out = others(p, index, negative[:, block])
        mean = ((1 + SLOPE) * out.mean + 1 - SLOPE) / 2
        ratio[:, block] = p / mean[index]
        enough = out.groups >= FEWEST
        attacked = positive[:, block] | negative[:, block]
        known[:, block] = attacked & enough[index]
        left_out += int(np.count_nonzero(present(attacked, index) & ~enough))
    odds = np.zeros(phi.shape, np.float32)
    for row, values in enumerate(ratio):
        odds[row] = np.where(known[row], _rank(values, known[row] & negative[row]), 0)
    return Scores(odds, known, left_out)


def _rank(ratio: npt.NDArray[np.float32], never: Bools) -> npt.NDArray[np.float32]:
    """[n] logit of the share of never-seen samples with a smaller ratio."""
    there = np.sort(ratio[never])
    smaller = np.searchsorted(there, ratio, side="left")
    result: npt.NDArray[np.float32] = logit((smaller + 0.5) / (len(there) - never + 1)).astype(np.float32)
    return result
