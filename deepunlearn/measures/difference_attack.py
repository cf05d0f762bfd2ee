"""Comparison with the original: what was forgotten is where the loss rose (Chen et al. 2021, arXiv 2005.02205)."""

from __future__ import annotations

from deepunlearn.metrics.added import Outputs, attacked_losses, told_apart


def measure(outputs: Outputs) -> dict[str, float | None]:
    """Area under the ROC curve and hits at 1 % of loss after unlearning - loss before, D_F against D_T.

    Chen et al. compare the outputs before and after by an attack that is trained on shadow models; here the losses are
    subtracted, which needs none.
    """
    after, before = (attacked_losses(outputs, model) for model in (outputs.logits, outputs.original))
    if after is None or before is None:
        return {"Diff_AUC": None, "Diff_TPR": None}
    area, hits = told_apart(*(late - early for late, early in zip(after, before, strict=True)))
    return {"Diff_AUC": area, "Diff_TPR": hits}
