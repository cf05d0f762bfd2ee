"""NoMUS, the Normalized Machine Unlearning Score of Choi and Na 2023 (arXiv 2311.02240)."""

from __future__ import annotations

from deepunlearn.metrics.added import Outputs, attacked_losses
from deepunlearn.metrics.counted import Counted
from deepunlearn.metrics.mia import indiscernibility, mia_accuracy
from deepunlearn.metrics.scores import accuracies


def measure(outputs: Outputs) -> dict[str, float | None]:
    """Half TA, half 1 - 2 |MIA - 0.5|; where classes are forgotten whole, TA of the classes that are left."""
    counted = Counted(outputs.forgotten_classes)
    utility = accuracies(outputs.logits, outputs.labels, counted)["TA_retained" if counted.forgotten_classes else "TA"]
    sides = attacked_losses(outputs, outputs.logits)
    if utility is None or sides is None:
        return {"NoMUS": None}
    return {"NoMUS": 0.5 * utility + 0.5 * indiscernibility(mia_accuracy(*sides, outputs.seed))}
