"""Accuracy and per-sample losses from logits (RA, FA, VA, TA of the protocol)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import SMALLER_RATE, Diverged
from deepunlearn.metrics.blocks import in_blocks
from deepunlearn.metrics.remembered import of_read_only

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Double = npt.NDArray[np.float64]


@of_read_only
def accuracy(logits: Floats, labels: Integers) -> float:
    """Share of samples whose largest logit is the label's, in [0, 1]; logits [N, K], labels [N]. Ties: lowest class.

    Raises Diverged for non-finite logits.
    """
    _check(logits, labels)
    return float(np.mean(answers(logits) == labels))


@of_read_only
def answers(logits: Floats) -> npt.NDArray[np.intp]:
    """The class of the largest logit of each sample, [N]; of several equal ones the lowest. logits [N, K]."""
    classes: npt.NDArray[np.intp] = logits.argmax(axis=1)
    return classes


@of_read_only
def losses(logits: Floats, labels: Integers) -> Double:
    """Cross-entropy -log softmax(logits)[label] of each sample in nats, float64 [N], >= 0; logits [N, K], labels [N].

    Raises Diverged for non-finite logits.
    """
    _check(logits, labels)
    return _losses(logits, labels)


@in_blocks
def _losses(logits: Floats, labels: Integers) -> Double:
    """Relative to the own logit, not log_sum_exp(logits) - own: that difference of large numbers would lose small
    losses.
    """
    wide = logits.astype(np.float64)
    return log_sum_exp(wide - np.take_along_axis(wide, labels[:, None], axis=1))


def log_sum_exp(values: Double) -> Double:
    """log of the sum of exp over each row, [N]; values [N, K], some of each row finite, others possibly -inf.

    The bits of scipy's logsumexp in half its time. The largest stand apart from the sum, so that log1p keeps the digits
    of what is small beside them.
    """
    top = largest(values)
    is_largest = values == top
    others = np.exp(values - top)
    others[is_largest] = 0
    equal = is_largest.sum(axis=1, dtype=np.float64)
    result: Double = np.log1p(others.sum(axis=1) / equal) + np.log(equal) + top[:, 0]
    return result


def largest(values: Double) -> Double:
    """The largest of each row, [N, 1]; values [N, K]. All rows at once, column by column, as K is small."""
    result: Double = np.ascontiguousarray(values.T).max(axis=0)[:, None]
    return result


def _check(logits: Floats, labels: Integers) -> None:
    assert logits.ndim == 2 and labels.shape == logits.shape[:1] and len(labels), (logits.shape, labels.shape)
    assert labels.min() >= 0 and labels.max() < logits.shape[1], (labels.min(), labels.max(), logits.shape)
    finite = np.isfinite(logits)
    if not finite.all():
        bad = int(np.count_nonzero(~finite.all(axis=1)))
        raise Diverged(
            "the model's logits are not finite",
            given=f"{bad} of {len(logits)} samples",
            allowed="finite logits",
            remedy=SMALLER_RATE,
        )
