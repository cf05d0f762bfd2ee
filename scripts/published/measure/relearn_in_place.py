"""Scores as published code has them where relearn time is measured first: of the model that has relearnt D_F."""

from __future__ import annotations

from torch import nn

from deepunlearn.instruments.relearning import accuracy, relearn_in_place
from deepunlearn.metrics.accuracy import losses
from deepunlearn.metrics.added import Outputs
from deepunlearn.metrics.counted import too_few
from deepunlearn.metrics.mia import indiscernibility, mia_accuracy
from deepunlearn.training import predict

PARTS = {"RA_relearnt": "retain", "FA_relearnt": "forget", "TA_relearnt": "test"}


def measure(outputs: Outputs) -> dict[str, float | None]:
    """RA, FA, TA and Indisc after a relearning of D_F that was not done on a copy.

    It ends as relearn time does: when FA is that of the original again. So FA says little of how much was forgotten.
    """
    models = outputs.models
    model, forget = models.unlearned(), models.parts["forget"]
    known = accuracy(models.original(), forget, models.runtime)
    relearn_in_place(model, forget, [known], models.runtime, progress=models.progress)
    accuracies = {name: accuracy(model, models.parts[part], models.runtime) for name, part in PARTS.items()}
    return {**accuracies, "Indisc_relearnt": _indisc(outputs, model)}


def _indisc(outputs: Outputs, model: nn.Module) -> float | None:
    models, labels = outputs.models, outputs.labels
    if too_few(len(labels["forget"]), len(labels["unseen_test"]), "test"):
        return None
    sides = [losses(predict(model, models.parts[part], models.runtime), labels[part])
             for part in ("forget", "unseen_test")]  # fmt: skip
    return indiscernibility(mia_accuracy(*sides, outputs.seed))
