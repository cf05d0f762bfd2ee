"""The objective on hand-written logits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepunlearn.search.objective import Losses, score
from deepunlearn.stages.references import accuracies


def logits_with_accuracy(labels: np.ndarray, accuracy: float) -> np.ndarray:
    """Two-class logits that get the first `accuracy` share of samples right, all with the same margin."""
    right = np.arange(len(labels)) < round(accuracy * len(labels))
    predicted = np.where(right, labels, 1 - labels)
    return np.eye(2, dtype=np.float32)[predicted]


LABELS = {part: np.arange(100) % 2 for part in ("retain", "forget", "val")}


def test_losses_are_weighted_gaps_to_the_retrained_model() -> None:
    unlearned = {
        part: logits_with_accuracy(LABELS[part], share)
        for part, share in (("retain", 0.9), ("forget", 0.5), ("val", 0.7))
    }
    losses = score(unlearned, {"retain": 1.0, "forget": 0.8, "val": 0.6}, LABELS, seed=0)
    assert losses.retain == pytest.approx(0.1 / 3)
    assert losses.forget == pytest.approx(0.3 / 3)
    assert losses.val == pytest.approx(0.1 / 3), "a gap counts in both directions"


def test_the_attack_compares_forget_with_validation_losses() -> None:
    sure, unsure = 8 * logits_with_accuracy(LABELS["val"], 1.0), 0.01 * logits_with_accuracy(LABELS["val"], 1.0)
    told_apart = score({"retain": sure, "forget": sure, "val": unsure}, dict.fromkeys(LABELS, 1.0), LABELS, seed=0)
    alike = score({"retain": unsure, "forget": sure, "val": sure}, dict.fromkeys(LABELS, 1.0), LABELS, seed=0)
    assert told_apart.mia == pytest.approx(1.0)
    assert alike.mia < 0.3


def test_accuracies_leave_the_test_part_out() -> None:
    logits = {part: logits_with_accuracy(labels, 0.5) for part, labels in LABELS.items()}
    side: Any = SimpleNamespace(labels=LABELS)
    assert accuracies(logits, side) == {"retain": 0.5, "forget": 0.5, "val": 0.5}


def test_norm_and_sum() -> None:
    losses = Losses(0.1, 0.2, 0.2, 0.4)
    assert losses.norm == pytest.approx(0.5)
    assert losses.sum == pytest.approx(0.9)
    assert losses.four == (0.1, 0.2, 0.2, 0.4)
