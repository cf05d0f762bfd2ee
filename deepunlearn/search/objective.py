"""The four losses of a trial (protocol section 6). The test part is never touched here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepunlearn.metrics.accuracy import losses
from deepunlearn.metrics.counted import Counted, too_few
from deepunlearn.metrics.mia import discernibility, mia_accuracy
from deepunlearn.metrics.scores import SEARCH_PARTS, searched_accuracies

WEIGHT = 1 / 3  # a = b = c of the paper; d = 1

Arrays = dict[str, npt.NDArray[np.float32]]
Labels = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Losses:
    """retain, forget, val: weighted accuracy gaps to the retrained model in [0, 1/3]; mia: Disc(D_V) in [0, 1].

    mia is None where there are too few samples for the attack; sum and norm are then of the other three.
    """

    retain: float
    forget: float
    val: float
    mia: float | None

    @property
    def four(self) -> tuple[float, float, float, float | None]:
        return self.retain, self.forget, self.val, self.mia

    @property
    def defined(self) -> tuple[float, ...]:
        return tuple(one for one in self.four if one is not None)

    @property
    def sum(self) -> float:
        return math.fsum(self.defined)

    @property
    def norm(self) -> float:
        """Euclidean norm of the losses: the paper's rule picks the trial where it is smallest."""
        return math.hypot(*self.defined)


COMPONENTS = tuple(Losses.__dataclass_fields__)


def score(
    unlearned: Arrays, retrained_accuracies: dict[str, float], labels: Labels, counted: Counted, seed: int
) -> Losses:
    """Losses from the logits of an unlearned model on retain, forget and val. Equations: the paper, section 4.

    Of val, accuracies are of the classes that are not forgotten whole, and the attack is on samples like the forgotten.
    """
    own = searched_accuracies(unlearned, labels, counted)
    retain, forgotten, val = (WEIGHT * abs(own[part] - retrained_accuracies[part]) for part in SEARCH_PARTS)
    if unattacked(labels, counted) is not None:
        return Losses(retain, forgotten, val, None)
    forgotten_losses = losses(unlearned["forget"], labels["forget"])
    mia = mia_accuracy(forgotten_losses, counted.unseen_losses("val", unlearned, labels), seed)
    return Losses(retain, forgotten, val, discernibility(mia))


def unattacked(labels: Labels, counted: Counted) -> str | None:
    """Why the search leaves the attack out; None where it does not."""
    return too_few(len(labels["forget"]), len(counted.attacked("val", labels["val"])), "val")
