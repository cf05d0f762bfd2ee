"""The loss attack as published code has it where a class is forgotten: against test samples of all classes."""

from __future__ import annotations

from deepunlearn.metrics.accuracy import losses
from deepunlearn.metrics.added import Outputs
from deepunlearn.metrics.counted import too_few
from deepunlearn.metrics.mia import discernibility, indiscernibility, loss_auc, mia_accuracy

COLUMNS = ("MIA_all", "Indisc_all", "Disc_AUC_all")


def measure(outputs: Outputs) -> dict[str, float | None]:
    """As MIA, Indisc and Disc_AUC, with all of D_T on the other side, whatever D_F is made of.

    Of a class that was forgotten whole the attack then tells the class from others, not members from non-members: a
    retrained model, which gets all of D_F wrong, looks worst.
    """
    labels = outputs.labels
    if too_few(len(labels["forget"]), len(labels["test"]), "test"):
        return dict.fromkeys(COLUMNS)
    forgotten, unseen = (losses(outputs.logits[part], labels[part]) for part in ("forget", "test"))
    mia = mia_accuracy(forgotten, unseen, outputs.seed)
    values = mia, indiscernibility(mia), discernibility(loss_auc(forgotten, unseen))
    return dict(zip(COLUMNS, values, strict=True))
