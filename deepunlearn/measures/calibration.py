"""Calibration on D_T: expected calibration error (Guo et al. 2017, arXiv 1706.04599) and Brier score (Brier 1950)."""

from __future__ import annotations

import numpy as np

from deepunlearn.metrics.accuracy import Double, Integers
from deepunlearn.metrics.added import Outputs
from deepunlearn.metrics.counted import Counted
from deepunlearn.metrics.divergence import log_shares

BINS = 15


def measure(outputs: Outputs) -> dict[str, float | None]:
    """Of the samples of D_T whose class is not forgotten whole."""
    labels = outputs.labels["test"]
    kept = Counted(outputs.forgotten_classes).retained(labels)
    if not kept.any():
        return {"ECE": None, "Brier": None}
    shares = np.exp(log_shares(outputs.logits["test"][kept]))
    return {"ECE": expected_calibration_error(shares, labels[kept]), "Brier": brier(shares, labels[kept])}


def expected_calibration_error(shares: Double, labels: Integers) -> float:
    """Mean over samples of |accuracy - mean confidence| of their bin, of 15 bins of confidence ((m - 1) / 15, m / 15].

    shares [N, K] sum to 1; labels [N].
    """
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    excess = np.bincount(bins, weights=right - confidence, minlength=BINS)  # of a bin: size (accuracy - confidence)
    return float(np.abs(excess).sum() / len(labels))


def brier(shares: Double, labels: Integers) -> float:
    """Mean over samples of the squared distance between shares [N, K] and the label's own, in [0, 2]."""
    own = shares[np.arange(len(labels)), labels]
    return float(((shares**2).sum(axis=1) - 2 * own + 1).mean())
