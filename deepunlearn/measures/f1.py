"""Macro F1 on D_R, D_F and D_T, through scikit-learn."""

from __future__ import annotations

from sklearn.metrics import f1_score

from deepunlearn.metrics.accuracy import Floats, Integers
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
    """LUMA asks for the same, and for that of the retrained model beside each unlearned one."""
    return float(f1_score(labels, logits.argmax(axis=1), average="macro", zero_division=0))
