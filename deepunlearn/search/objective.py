"""The four losses of a trial (protocol section 6). The test part is never touched here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepunlearn.metrics.accuracy import accuracy, losses
from deepunlearn.metrics.mia import discernibility, mia_accuracy
from deepunlearn.stages.data import SEARCH_PARTS

WEIGHT = 1 / 3  # a = b = c of the paper; d = 1

Arrays = dict[str, npt.NDArray[np.float32]]
Labels = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Losses:
    """retain, forget, val: weighted accuracy gaps to the retrained model in [0, 1/3]; mia: Disc(D_V) in [0, 1]."""

    retain: float
    forget: float
    val: float
    mia: float

    @property
    def four(self) -> tuple[float, float, float, float]:
        return self.retain, self.forget, self.val, self.mia

    @property
    def sum(self) -> float:
        return math.fsum(self.four)

    @property
    def norm(self) -> float:
        """Euclidean norm of the four: the paper's rule picks the trial where it is smallest."""
        return math.hypot(*self.four)


def score(unlearned: Arrays, retrained_accuracies: dict[str, float], labels: Labels, seed: int) -> Losses:
    """Losses from the logits of an unlearned model on retain, forget and val. Equations: the paper, section 4."""
    retain, forgotten, val = (
        WEIGHT * abs(accuracy(unlearned[part], labels[part]) - retrained_accuracies[part]) for part in SEARCH_PARTS
    )
    forget = losses(unlearned["forget"], labels["forget"])
    mia = mia_accuracy(forget, losses(unlearned["val"], labels["val"]), seed)
    return Losses(retain, forgotten, val, discernibility(mia))
