"""Accuracies on true labels, by hand."""

from __future__ import annotations

import numpy as np

from deepunlearn.core.split import Split
from deepunlearn.metrics.corrected import corrected

TRUTH = np.array([0, 1, 2, 0, 1, 2, 0, 1])
NONE = np.empty(0, dtype=np.int64)
SPLIT = Split(
    retain=np.array([0, 2, 4, 6]), forget=np.array([1, 5]), val=np.array([3]), test=NONE,
    wrong=np.array([1, 2, 5, 6]), wrong_labels=np.array([0, 0, 1, 1]),
)  # fmt: skip


def saying(labels: list[int]) -> np.ndarray:
    return np.eye(3)[labels]


def test_known_ones_are_forgotten_and_unknown_ones_retained() -> None:
    logits = {"retain": saying([1, 2, 0, 1]), "forget": saying([1, 1]), "val": saying([0])}
    assert corrected(logits, SPLIT, TRUTH) == {"corrected_known": 0.5, "corrected_unknown": 0.5}
    right = {**logits, "retain": saying([2, 2, 2, 0])}
    assert corrected(right, SPLIT, TRUTH)["corrected_unknown"] == 1, "rightly labelled ones do not count"


def test_there_is_nothing_to_correct_without_wrong_labels_or_finite_logits() -> None:
    logits = {"retain": saying([0, 2, 1, 0]), "forget": saying([1, 2])}
    nothing = {"corrected_known": None, "corrected_unknown": None}
    assert corrected(logits, Split(SPLIT.retain, SPLIT.forget, SPLIT.val, NONE), TRUTH) == nothing
    assert corrected({**logits, "forget": saying([1, 2]) * np.nan}, SPLIT, TRUTH) == nothing
    known = Split(
        np.array([0, 4]), np.array([1, 2, 5, 6]), NONE, NONE, wrong=SPLIT.wrong, wrong_labels=SPLIT.wrong_labels
    )
    values = corrected({"retain": saying([0, 1]), "forget": saying([1, 2, 2, 0])}, known, TRUTH)
    assert values == {"corrected_known": 1, "corrected_unknown": None}
