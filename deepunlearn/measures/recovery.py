"""Recovery time: how long plain training on the retain set takes to repair what unlearning broke there."""

from __future__ import annotations

from deepunlearn.instruments.relearning import BATCH_SIZE, accuracy, relearn
from deepunlearn.metrics.added import Outputs

SHARE = 0.99  # of the original's accuracy that counts as repaired
EPOCHS = 10  # at most


def measure(outputs: Outputs) -> dict[str, float | bool]:
    """Steps of a copy, trained on D_R alone, until RA >= 0.99 RA(f_O); the limit where that is not reached.

    After the lecture of the SDU on machine unlearning, whose threshold it is; optimiser and looks as of relearn time.
    """
    models = outputs.models
    retain = models.parts["retain"]
    target = SHARE * accuracy(models.original(), retain, models.runtime)
    (found,) = relearn(
        models.unlearned(),
        retain,
        [target],
        models.runtime,
        progress=models.progress,
        most_epochs=EPOCHS,
        label="recovering D_R",
    )
    most = EPOCHS * retain.steps(BATCH_SIZE)
    return {"recovery_steps": float(most if found.steps is None else found.steps), "recovered": found.steps is not None}
