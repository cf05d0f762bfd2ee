"""How the losses of a model are distributed over a part: what the loss attack sees, in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deepunlearn.metrics.accuracy import Floats, Integers, losses
from deepunlearn.metrics.usable import broken_parts

LOSS_EDGES = np.logspace(-7, 2, 46)  # nats, five bins a decade; losses beyond either end count in the outermost bins
COMPARED = ("retain", "forget", "val", "test")


def loss_histograms(logits: Mapping[str, Floats], labels: Mapping[str, Integers]) -> dict[str, list[int]]:
    """Per part, how many samples' cross-entropy lies in each of the 45 bins of `LOSS_EDGES`; [] for broken logits.

    logits [N, K] and labels [N] per part of `COMPARED`.
    """
    broken = broken_parts(logits)
    return {part: [] if part in broken else _counts(losses(logits[part], labels[part])) for part in COMPARED}


def _counts(values: Floats) -> list[int]:
    counts, _ = np.histogram(np.clip(values, LOSS_EDGES[0], LOSS_EDGES[-1]), LOSS_EDGES)
    return [int(count) for count in counts]
