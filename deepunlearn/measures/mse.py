"""Mean squared error between probabilities and labels on D_R, D_F and D_T."""

from __future__ import annotations

import numpy as np

from deepunlearn.measures.calibration import brier
from deepunlearn.metrics.added import Outputs
from deepunlearn.metrics.divergence import log_shares

PARTS = {"MSE_R": "retain", "MSE_F": "forget", "MSE_T": "test"}


def measure(outputs: Outputs) -> dict[str, float]:
    """scikit-learn's mean_squared_error of the softmax against the label as 0 and 1: the Brier score / classes."""
    return {name: _error(outputs, part) for name, part in PARTS.items()}


def _error(outputs: Outputs, part: str) -> float:
    shares = np.exp(log_shares(outputs.logits[part]))
    return brier(shares, outputs.labels[part]) / len(shares[0])
