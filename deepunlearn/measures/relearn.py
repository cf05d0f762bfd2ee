"""Relearn time: how long plain training on the forget set takes to bring back what was known of it."""

from __future__ import annotations

from deepunlearn.instruments.relearning import ALPHA, BATCH_SIZE, EPOCHS, accuracy, relearn
from deepunlearn.metrics.added import Outputs


def measure(outputs: Outputs) -> dict[str, float | bool]:
    """Epochs and steps until FA >= FA(f_O), and until FA >= (1 - alpha) FA(f_O); the limits where that is not reached.

    Of a copy, trained on D_F alone: Golatkar et al. 2020, Tarun et al. 2023. As D'Angelo et al. 2025 (ERASURE) have it,
    but with one optimiser for all methods, and with an accuracy in evaluation mode after an epoch in place of one
    gathered during it. Their copy is commented out, so that what is measured afterwards is the relearnt model.
    """
    models = outputs.models
    forget = models.parts["forget"]
    known = accuracy(models.original(), forget, models.runtime)
    targets = [known, (1 - ALPHA) * known]
    whole, near = relearn(models.unlearned(), forget, targets, models.runtime, progress=models.progress)
    most = EPOCHS * forget.steps(BATCH_SIZE)
    return {
        "RT": _or(whole.epochs, EPOCHS),
        "RT_steps": _or(whole.steps, most),
        "RT_near": _or(near.epochs, EPOCHS),
        "RT_near_steps": _or(near.steps, most),
        "RT_reached": whole.epochs is not None,
    }


def _or(found: int | None, limit: int) -> float:
    return float(limit if found is None else found)
