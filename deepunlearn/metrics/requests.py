"""What is known of requests that arrive one after the other: scores of the last one, and of those before it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from deepunlearn.metrics.accuracy import Floats, Integers, accuracy, losses
from deepunlearn.metrics.counted import Counted, too_few
from deepunlearn.metrics.mia import discernibility, loss_auc
from deepunlearn.metrics.usable import broken_parts

REQUESTS = ("FA_request", "FA_earlier", "Disc_AUC_request", "Disc_AUC_earlier")


def of_requests(
    logits: Mapping[str, Floats],
    labels: Mapping[str, Integers],
    counted: Counted,
    earlier: npt.NDArray[np.bool_],
) -> dict[str, float | None]:
    """`REQUESTS` of a model. The mappings have the parts forget and test: [N, K] and [N] each.

    earlier: bool [N], which samples of forget were requested in earlier rounds; the others are of this round. The
    unseen samples of the attack are those that all of forget is held against. None where there are no samples, and
    everywhere where logits are not finite.
    """
    if broken_parts(logits):
        return dict.fromkeys(REQUESTS)
    values = [(_accuracy(logits, labels, rows), _attack(logits, labels, counted, rows)) for rows in (~earlier, earlier)]
    return dict(zip(REQUESTS, (one for pair in zip(*values, strict=True) for one in pair), strict=True))


def _accuracy(
    logits: Mapping[str, Floats], labels: Mapping[str, Integers], rows: npt.NDArray[np.bool_]
) -> float | None:
    return accuracy(logits["forget"][rows], labels["forget"][rows]) if rows.any() else None


def _attack(
    logits: Mapping[str, Floats], labels: Mapping[str, Integers], counted: Counted, rows: npt.NDArray[np.bool_]
) -> float | None:
    """Disc_AUC of these samples of forget."""
    unseen = counted.unseen_losses("test", logits, labels)
    if too_few(int(rows.sum()), len(unseen), "test") is not None:
        return None
    return discernibility(loss_auc(losses(logits["forget"][rows], labels["forget"][rows]), unseen))
