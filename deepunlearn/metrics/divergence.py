"""How far the outputs of two models on the same samples are apart, in bits."""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from deepunlearn.metrics.accuracy import Double, Floats, largest
from deepunlearn.metrics.blocks import in_blocks
from deepunlearn.metrics.remembered import of_read_only

LOG_2 = float(np.log(2))  # nats of a bit


@of_read_only
@in_blocks
def log_shares(logits: Floats) -> Double:
    """log softmax of logits [N, K] in nats, float64 [N, K].

    The bits of scipy's log_softmax in half its time; most measures of outputs ask for it, of thousands of models.
    """
    logs: Double = logits.astype(np.float64)
    logs -= largest(logs)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return logs


def _kullback_leibler(shares: Double, logs: Double, other: Double) -> Double:
    """KL(p || q) of each sample in bits, [N], >= 0, of p, log p and log q, [N, K]. It has no upper limit."""
    bits: Double = (shares * (logs - other)).sum(axis=1) / LOG_2
    return np.maximum(bits, 0)


def jensen_shannon(shares: Double, other: Double) -> Double:
    """JS(p, q) of each row in bits, [N], from 0 (equal) to 1 (no class in common); shares are p and q, [N, K].

    The entropy of the mean less the mean of the entropies.
    """
    nats: Double = entr((shares + other) / 2).sum(axis=1) - (entr(shares) + entr(other)).sum(axis=1) / 2
    return np.clip(nats / LOG_2, 0, 1)


def apart(retrained: Floats, logits: Floats) -> tuple[float, float]:
    """Means over samples of KL(retrained || other) and of JS, in bits; both are logits [N, K]."""
    kl, js = _divergences(log_shares(retrained), log_shares(logits)).T
    return float(kl.mean()), float(js.mean())


@in_blocks
def _divergences(logs: Double, other: Double) -> Double:
    """KL(p || q) and JS(p, q) of each sample, [N, 2], of log p and log q, [N, K]."""
    shares = np.exp(logs)
    return np.stack([_kullback_leibler(shares, logs, other), jensen_shannon(shares, np.exp(other))], axis=1)
