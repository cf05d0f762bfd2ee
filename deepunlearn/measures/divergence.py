"""Kullback-Leibler and Jensen-Shannon divergence from the retrained model, sample by sample."""

from __future__ import annotations

from deepunlearn.metrics.added import Outputs
from deepunlearn.metrics.divergence import apart

PARTS = {"R": "retain", "F": "forget", "T": "test"}


def measure(outputs: Outputs) -> dict[str, float]:
    """Means over D_R, D_F and D_T of KL(retrained || unlearned) and JS in bits."""
    values: dict[str, float] = {}
    for letter, part in PARTS.items():
        values[f"KL_{letter}"], values[f"JS_{letter}"] = apart(outputs.retrained[part], outputs.logits[part])
    return values
