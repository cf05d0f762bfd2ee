"""Attacks of ours, one sample at a time from their definitions (Song and Mittal 2021)."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from deepunlearn.attacks import confidence_attack, correctness_attack, entropy_attack, modified_entropy_attack
from deepunlearn.metrics.accuracy import losses
from deepunlearn.metrics.mia import loss_auc

LOGITS = 2 * np.random.RandomState(0).randn(30, 4).astype(np.float32)
LABELS = np.arange(30) % 4


def shares(row: np.ndarray) -> list[float]:
    return [exp(value) / sum(map(exp, row)) for value in map(float, row)]


def confidence(row: np.ndarray, label: int) -> float:
    return log(shares(row)[label])


def entropy(row: np.ndarray, label: int) -> float:
    return sum(p * log(p) for p in shares(row))


def modified_entropy(row: np.ndarray, label: int) -> float:
    own = shares(row)
    others = sum(p * log(1 - p) for number, p in enumerate(own) if number != label)
    return (1 - own[label]) * log(own[label]) + others


def correctness(row: np.ndarray, label: int) -> float:
    return float(max(range(len(row)), key=lambda number: row[number]) == label)


@pytest.mark.parametrize(
    ("attack", "plain"),
    [
        (confidence_attack, confidence),
        (entropy_attack, entropy),
        (modified_entropy_attack, modified_entropy),
        (correctness_attack, correctness),
    ],
)
def test_it_is_its_definition(attack, plain) -> None:  # type: ignore[no-untyped-def]
    expected = [plain(row, label) for row, label in zip(LOGITS, LABELS, strict=True)]
    assert attack.membership(LOGITS, LABELS) == pytest.approx(expected)


def test_the_surest_right_and_the_surest_wrong_answer() -> None:
    """Entropy takes both for members; modified entropy gives the right one 0, and the wrong one the lowest number."""
    sure = np.array([[80.0, 0, 0], [0, 80, 0], [1, 0, 0]])
    labels = np.zeros(3, dtype=int)
    assert entropy_attack.membership(sure, labels)[:2] == pytest.approx([0, 0], abs=1e-6)
    right, wrong, unsure = modified_entropy_attack.membership(sure, labels)
    assert right == pytest.approx(0, abs=1e-30) and wrong < unsure < right and np.isfinite(wrong)


def test_confidence_ranks_as_the_loss_where_it_rounds_to_one() -> None:
    rows = np.array([[40.0, 0], [50, 0], [60, 0]])
    assert np.diff(confidence_attack.membership(rows, np.zeros(3, dtype=int))).min() > 0
    own = losses(LOGITS, LABELS)
    members = np.arange(30) < 10
    auc = roc_auc_score(members, confidence_attack.membership(LOGITS, LABELS))
    assert auc == pytest.approx(loss_auc(own[members], own[~members]))
