"""RF-JSD, the retrain-free Jensen-Shannon divergence of Spartalis et al. 2025 (LoTUS, arXiv 2503.18314)."""

from __future__ import annotations

import numpy as np

from deepunlearn.metrics.accuracy import Double, Floats, Integers
from deepunlearn.metrics.added import Outputs
from deepunlearn.metrics.divergence import jensen_shannon, log_shares


def measure(outputs: Outputs) -> dict[str, float | None]:
    """Mean over classes of JS in bits between the mean output on D_F and the original's on D_T of that class.

    Over the classes that both have; not those that are forgotten whole, which a model that does not know them cannot
    answer as the original does. The published code has KL(mean || side) in place of KL(side || mean), normalises over
    all classes at once and divides by their number twice; here it is the divergence of the paper's name.
    """
    forgotten = _means(outputs.logits["forget"], outputs.labels["forget"])
    unseen = _means(outputs.original["test"], outputs.labels["test"])
    common = sorted(forgotten.keys() & unseen.keys() - set(outputs.forgotten_classes))
    if not common:
        return {"RF_JSD": None}
    sides = [np.stack([means[label] for label in common]) for means in (forgotten, unseen)]
    return {"RF_JSD": float(jensen_shannon(*sides).mean())}


def _means(logits: Floats, labels: Integers) -> dict[int, Double]:
    """The mean output [K] of the samples of each class."""
    shares = np.exp(log_shares(logits))
    return {int(label): shares[labels == label].mean(axis=0) for label in np.unique(labels)}
