"""Modified entropy, which knows the label (Song and Mittal 2021, arXiv 2003.10595, equation 8)."""

from __future__ import annotations

import numpy as np

from deepunlearn.metrics.accuracy import Double, Floats, Integers
from deepunlearn.metrics.divergence import log_shares


def membership(logits: Floats, labels: Integers) -> Floats:
    """(1 - p_y) log p_y + sum over other classes i of p_i log(1 - p_i), [N]: 0 where p_y is 1, and lower elsewhere."""
    logs = log_shares(logits)
    shares, rows = np.exp(logs), np.arange(len(labels))
    terms = shares * _log_of_rest(shares)
    terms[rows, labels] = _rest(shares, labels) * logs[rows, labels]
    whole: Floats = terms.sum(axis=1)
    return whole


def _rest(shares: Double, labels: Integers) -> Double:
    """1 - p_y as the sum of the others, which keeps its digits where p_y is nearly 1."""
    others = shares.copy()
    others[np.arange(len(labels)), labels] = 0
    rest: Double = others.sum(axis=1)
    return rest


def _log_of_rest(shares: Double) -> Double:
    """log(1 - p), finite also where p rounds to 1."""
    return np.log1p(-np.minimum(shares, 1 - np.finfo(np.float64).eps))
