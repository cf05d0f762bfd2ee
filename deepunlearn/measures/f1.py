"""Macro F1 on D_R, D_F and D_T."""

from __future__ import annotations

import numpy as np

from deepunlearn.metrics.accuracy import Floats, Integers, answers
from deepunlearn.metrics.added import Outputs
from deepunlearn.metrics.remembered import of_read_only

PARTS = {"F1_R": "retain", "F1_F": "forget", "F1_T": "test"}


def measure(outputs: Outputs) -> dict[str, float]:
    """The mean of F1 over the classes that are among the labels or the answers; 0 of one that is never right."""
    return {name: macro_f1(outputs, "logits", part) for name, part in PARTS.items()}


def macro_f1(outputs: Outputs, model: str, part: str) -> float:
    """model: logits (the one under test), original or retrained."""
    return _macro_f1(getattr(outputs, model)[part], outputs.labels[part])


@of_read_only
def _macro_f1(logits: Floats, labels: Integers) -> float:
    """scikit-learn's f1_score(average="macro", zero_division=0), whose checks take ten times as long.

    LUMA asks for the same, and for that of the retrained model beside each unlearned one.
    """
    given, classes = answers(logits), logits.shape[1]
    right = np.bincount(labels[labels == given], minlength=classes)
    labelled, answered = np.bincount(labels, minlength=classes), np.bincount(given, minlength=classes)
    known = labelled + answered > 0
    return float(np.mean(2 * right[known] / (labelled + answered)[known]))
