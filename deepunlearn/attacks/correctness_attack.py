"""Correctness: members are the samples that are classified rightly (Yeom et al. 2018; Song and Mittal 2021)."""

from __future__ import annotations

import numpy as np

from deepunlearn.metrics.accuracy import Floats, Integers, answers


def membership(logits: Floats, labels: Integers) -> Floats:
    """1 where the largest logit is the label's, 0 elsewhere, [N]."""
    right: Floats = (answers(logits) == labels).astype(np.float64)
    return right
