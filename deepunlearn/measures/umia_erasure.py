"""UMIA as ERASURE has it: a logistic regression on losses, fitted on a fifth of the samples and judged on the rest."""

from __future__ import annotations

from deepunlearn.metrics.added import Outputs, attacked_losses
from deepunlearn.metrics.mia import shuffled_mia


def measure(outputs: Outputs) -> dict[str, float | None]:
    """Mean accuracy of the attack over 5 stratified shuffled splits with 80 % held out; 0.5 is chance."""
    sides = attacked_losses(outputs, outputs.logits)
    return {"UMIA": None if sides is None else shuffled_mia(*sides, outputs.seed)}
