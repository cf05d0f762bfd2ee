"""Entropy: members are the samples of which the model is sure, whatever of (Song and Mittal 2021, arXiv 2003.10595)."""

from __future__ import annotations

import numpy as np

from deepunlearn.metrics.accuracy import Floats, Integers
from deepunlearn.metrics.divergence import log_shares


def membership(logits: Floats, labels: Integers) -> Floats:
    """Sum of p log p over classes, [N]; the label does not count."""
    logs = log_shares(logits)
    negative: Floats = (np.exp(logs) * logs).sum(axis=1)
    return negative
