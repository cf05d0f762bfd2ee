"""Which unlearned models count as usable (protocol section 5, ours; the paper says only "usable models")."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deepunlearn.metrics import USABLE_MARGIN
from deepunlearn.metrics.accuracy import Floats, Integers, accuracy
from deepunlearn.metrics.counted import EVERYTHING, Counted


def broken_parts(logits: Mapping[str, Floats]) -> list[str]:
    """The parts of the data on which some logit is not finite."""
    return [name for name, values in logits.items() if not np.isfinite(values).all()]


def usable(
    weights_finite: bool, logits: Mapping[str, Floats], test_labels: Integers, counted: Counted = EVERYTHING
) -> tuple[bool, str | None]:
    """(True, None), or False and the reason: weights or logits not finite, or TA not above 1.1 x the commonest class.

    logits: part of the data ("retain", "forget", "val", "test") -> [N, K]; test_labels [N] belong to "test". Where the
    commonest class has more than 1 / 1.1 = 91 % of the test part no model can be usable. Of classes that are forgotten
    whole a model need know nothing: TA and share are of the others.
    """
    if not weights_finite:
        return False, "weights are not finite"
    if broken := broken_parts(logits):
        return False, f"logits are not finite on {', '.join(broken)}"
    kept = counted.retained(test_labels)
    if not kept.any():
        return False, "no test sample is of a retained class"
    test_accuracy = accuracy(logits["test"][kept], test_labels[kept])
    share = float(np.bincount(test_labels[kept]).max()) / int(kept.sum())
    if test_accuracy <= USABLE_MARGIN * share:
        name, kind = ("TA_retained", "retained ") if counted.forgotten_classes else ("TA", "")
        return (
            False,
            f"{name} {test_accuracy:.3f} is not above {USABLE_MARGIN} x {share:.3f} "
            f"(share of the commonest {kind}test class)",
        )
    return True, None
