"""Which unlearned models count as usable (protocol section 5, ours; the paper says only "usable models")."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deepunlearn.metrics import USABLE_MARGIN
from deepunlearn.metrics.accuracy import Floats, Integers, accuracy


def broken_parts(logits: Mapping[str, Floats]) -> list[str]:
    """The parts of the data on which some logit is not finite."""
    return [name for name, values in logits.items() if not np.isfinite(values).all()]


def usable(weights_finite: bool, logits: Mapping[str, Floats], test_labels: Integers) -> tuple[bool, str | None]:
    """(True, None), or False and the reason: weights or logits not finite, or TA not above 1.1 x the commonest class.

    logits: part of the data ("retain", "forget", "val", "test") -> [N, K]; test_labels [N] belong to "test". Where the
    commonest class has more than 1 / 1.1 = 91 % of the test part no model can be usable.
    """
    if not weights_finite:
        return False, "weights are not finite"
    if broken := broken_parts(logits):
        return False, f"logits are not finite on {', '.join(broken)}"
    test_accuracy = accuracy(logits["test"], test_labels)
    share = float(np.bincount(test_labels).max()) / len(test_labels)
    if test_accuracy <= USABLE_MARGIN * share:
        return (
            False,
            f"TA {test_accuracy:.3f} is not above {USABLE_MARGIN} x {share:.3f} (share of the commonest test class)",
        )
    return True, None
