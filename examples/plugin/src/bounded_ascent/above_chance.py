"""How many forgotten samples the model still knows better than a guess would."""

from __future__ import annotations

import numpy as np


def measure(outputs):
    """The share of D_F whose label has a probability above 1 / K, of K classes."""
    logits, labels = outputs.logits["forget"].astype(np.float64), outputs.labels["forget"]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return {"F_known": (shares[np.arange(len(labels)), labels] > 1 / logits.shape[1]).mean()}
