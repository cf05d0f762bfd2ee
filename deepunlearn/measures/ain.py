"""Anamnesis index: relearn time beside that of the retrained model."""

from __future__ import annotations

from deepunlearn.instruments.relearning import ALPHA, BATCH_SIZE, EPOCHS, Reached, accuracy, relearn, relearn_once
from deepunlearn.metrics.added import Outputs

SMALL = 0.01  # added to both times, as either may be 0


def measure(outputs: Outputs) -> dict[str, float]:
    """(rt(f_U) + 0.01) / (rt(f_R) + 0.01), rt until FA >= (1 - alpha) FA(f_O): in epochs, and in steps.

    Chundawat et al. 2023 (arXiv 2201.05629), who count steps; D'Angelo et al. 2025 (ERASURE) count epochs, and it is
    they who add 0.01.
    """
    models = outputs.models
    forget = models.parts["forget"]
    targets = [(1 - ALPHA) * accuracy(models.original(), forget, models.runtime)]
    (own,) = relearn(models.unlearned(), forget, targets, models.runtime, progress=models.progress)
    (retrained,) = relearn_once(models.retrained(), forget, targets, models.runtime, progress=models.progress)
    epochs = [EPOCHS if one.epochs is None else one.epochs for one in (own, retrained)]
    steps = [_steps(one, EPOCHS * forget.steps(BATCH_SIZE)) for one in (own, retrained)]
    return {"AIN": _index(*epochs), "AIN_steps": _index(*steps)}


def _steps(found: Reached, limit: int) -> int:
    return limit if found.steps is None else found.steps


def _index(own: int, retrained: int) -> float:
    return (own + SMALL) / (retrained + SMALL)
