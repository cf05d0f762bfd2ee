"""The objective on hand-written logits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepunlearn.metrics.counted import EVERYTHING, Counted
from deepunlearn.search.objective import Losses, score, unattacked
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
    losses = score(unlearned, {"retain": 1.0, "forget": 0.8, "val": 0.6}, LABELS, EVERYTHING, seed=0)
    assert losses.retain == pytest.approx(0.1 / 3)
    assert losses.forget == pytest.approx(0.3 / 3)
    assert losses.val == pytest.approx(0.1 / 3), "a gap counts in both directions"


def test_the_attack_compares_forget_with_validation_losses() -> None:
    sure, unsure = 8 * logits_with_accuracy(LABELS["val"], 1.0), 0.01 * logits_with_accuracy(LABELS["val"], 1.0)
    told_apart, alike = (
        score({"retain": sure, "forget": sure, "val": val}, dict.fromkeys(LABELS, 1.0), LABELS, EVERYTHING, seed=0)
        for val in (unsure, sure)
    )
    assert told_apart.mia == pytest.approx(1.0)
    assert alike.mia is not None and alike.mia < 0.3


def test_accuracies_leave_the_test_part_out() -> None:
    logits = {part: logits_with_accuracy(labels, 0.5) for part, labels in LABELS.items()}
    side: Any = SimpleNamespace(labels=LABELS, counted=EVERYTHING)
    assert accuracies(logits, side) == {"retain": 0.5, "forget": 0.5, "val": 0.5}


def test_norm_and_sum() -> None:
    losses = Losses(0.1, 0.2, 0.2, 0.4)
    assert losses.norm == pytest.approx(0.5)
    assert losses.sum == pytest.approx(0.9)
    assert losses.four == (0.1, 0.2, 0.2, 0.4)


def test_classes_that_are_forgotten_whole_do_not_count_on_val() -> None:
    """All of class 1 is wrong on val, and the retrained model's accuracy of 0.5 there is that of class 0."""
    right = {part: 4 * np.eye(2, dtype=np.float32)[labels] for part, labels in LABELS.items()}
    unlearned = {**right, "val": np.tile(np.float32([4, 0]), (100, 1))}
    whole = Counted(forgotten_classes=(1,))
    assert score(unlearned, {"retain": 1.0, "forget": 1.0, "val": 1.0}, LABELS, whole, seed=0).val == 0
    side: Any = SimpleNamespace(labels=LABELS, counted=whole)
    assert accuracies(unlearned, side) == {"retain": 1.0, "forget": 1.0, "val": 1.0}


def test_the_attack_is_on_what_is_like_the_forgotten() -> None:
    """Unseen samples of the first half of val are as the forgotten ones, others are not."""
    sure, unsure = (size * logits_with_accuracy(LABELS["val"], 1.0) for size in (8, 0.01))
    unlearned = {"retain": sure, "forget": sure, "val": np.concatenate([sure[:50], unsure[50:]])}
    losses = {
        name: score(unlearned, dict.fromkeys(LABELS, 1.0), LABELS, Counted((), {"val": rows}), seed=0).mia
        for name, rows in (("alike", np.arange(50)), ("others", np.arange(50, 100)))
    }
    assert losses["alike"] is not None and losses["alike"] < 0.3
    assert losses["others"] == pytest.approx(1.0)


def test_where_the_attack_is_not_defined_the_objective_leaves_it_out() -> None:
    few = Counted((), {"val": np.arange(9)})
    unlearned = {part: logits_with_accuracy(labels, 0.7) for part, labels in LABELS.items()}
    losses = score(unlearned, {"retain": 1.0, "forget": 0.7, "val": 0.7}, LABELS, few, seed=0)
    assert (losses.mia, losses.defined) == (None, losses.four[:3])
    assert losses.norm == losses.sum == pytest.approx(0.1)
    assert (
        unattacked(LABELS, few)
        == "attack n/a: 9 samples of the validation part match the forgotten ones, and it needs 10"
    )
    assert unattacked(LABELS, Counted((), {"val": np.arange(10)})) is None
