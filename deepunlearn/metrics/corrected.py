"""Whether wrongly labelled training samples are recognised for what they are: accuracies on their true labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deepunlearn.core.samples import Labels
from deepunlearn.core.split import Split
from deepunlearn.metrics.accuracy import Floats, accuracy
from deepunlearn.metrics.usable import broken_parts

CORRECTED = ("corrected_known", "corrected_unknown")


def corrected(logits: Mapping[str, Floats], split: Split, truth: Labels) -> dict[str, float | None]:
    """`CORRECTED`: accuracy on the true labels of the forget set, and of the wrongly labelled samples of retain.

    Goel et al. 2024 call the first the corrected accuracy on the known part of the manipulated samples. logits: by
    part; truth: true labels of the whole training part. None where there are no such samples or logits are not finite.
    """
    if split.wrong is None or broken_parts(logits):
        return dict.fromkeys(CORRECTED)
    unknown = np.setdiff1d(split.wrong, split.forget)
    retained = logits["retain"][np.searchsorted(split.retain, unknown)]
    return {
        "corrected_known": accuracy(logits["forget"], truth[split.forget]),
        "corrected_unknown": accuracy(retained, truth[unknown]) if len(unknown) else None,
    }
