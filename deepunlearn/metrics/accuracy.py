"""Accuracy and per-sample losses from logits (RA, FA, VA, TA of the protocol)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from deepunlearn.core.errors import SMALLER_RATE, Diverged
from deepunlearn.metrics.remembered import of_read_only

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]


@of_read_only
def accuracy(logits: Floats, labels: Integers) -> float:
    """Share of samples whose largest logit is the label's, in [0, 1]; logits [N, K], labels [N]. Ties: lowest class.

    Raises Diverged for non-finite logits.
    """
    _check(logits, labels)
    return float(np.mean(logits.argmax(axis=1) == labels))


@of_read_only
def losses(logits: Floats, labels: Integers) -> npt.NDArray[np.float64]:
    """Cross-entropy -log softmax(logits)[label] of each sample in nats, float64 [N], >= 0; logits [N, K], labels [N].

    Raises Diverged for non-finite logits.
    """
    _check(logits, labels)
    wide = logits.astype(np.float64)
    own = np.take_along_axis(wide, labels[:, None], axis=1)
    # Relative to the own logit, not logsumexp(logits) - own: that difference of large numbers would lose small losses.
    result: npt.NDArray[np.float64] = logsumexp(wide - own, axis=1)
    return result


def _check(logits: Floats, labels: Integers) -> None:
    assert logits.ndim == 2 and labels.shape == logits.shape[:1] and len(labels), (logits.shape, labels.shape)
    assert labels.min() >= 0 and labels.max() < logits.shape[1], (labels.min(), labels.max(), logits.shape)
    bad = int(np.count_nonzero(~np.isfinite(logits).all(axis=1)))
    if bad:
        raise Diverged(
            "the model's logits are not finite",
            given=f"{bad} of {len(logits)} samples",
            allowed="finite logits",
            remedy=SMALLER_RATE,
        )
