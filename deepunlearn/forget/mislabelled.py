"""Labels of a share of the training part are wrong in training; the forget set is what is known of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from deepunlearn.core.forget import ForgetSet, Unseen
from deepunlearn.core.samples import Candidates, Indices, Labels, Samples
from deepunlearn.core.split import OneSplit
from deepunlearn.core.validation import Ratio


class MislabelledForget(ForgetSet):
    """Corrective unlearning (Goel et al. 2024): of the samples with wrong labels, a share is known and to be forgotten.

    The others stay in retain with their wrong labels, so that the retrained model sees these, too. Wrong labels are
    drawn from the other classes (uniform), or are the next class in their order, the first after the last (pairs); they
    are the same for all models.
    """

    enlarge: ClassVar[str] = "raise forget.noise or forget.known"
    reduce: ClassVar[str] = "lower forget.noise"

    noise: Ratio  # share of wrong labels
    flip: Literal["uniform", "pairs"]
    known: Annotated[float, Field(gt=0, le=1)]  # share of the wrong ones that is to be forgotten

    @property
    def title(self) -> str:
        known = "" if self.known == 1 else f", {100 * self.known:g} % of them known"
        return f"{100 * self.noise:g} % wrong labels ({self.flip}){known}"

    @property
    def shares_original(self) -> bool:
        return False  # it learns the wrong labels

    def choose(self, candidates: Candidates) -> Indices:
        return np.arange(round(self.known * self._wrong(candidates)))  # their order is random already

    def _wrong(self, candidates: Candidates) -> int:
        """How many labels are wrong: of the first candidates."""
        return round(self.noise * len(candidates.rows))

    def split(self, candidates: Candidates, val: Indices, test: Indices) -> OneSplit:
        right = super().split(candidates, val, test).of(0)
        wrong = candidates.rows[: self._wrong(candidates)]
        order = np.argsort(wrong)
        labels, *unseen = (
            self._flipped(of, candidates)
            for of in (candidates.labels[: len(wrong)], candidates.val.labels, candidates.test.labels)
        )
        return OneSplit(
            replace(
                right,
                wrong=wrong[order],
                wrong_labels=labels[order],
                unseen_val_labels=unseen[0],
                unseen_test_labels=unseen[1],
            )
        )

    def _flipped(self, labels: Labels, candidates: Candidates) -> Labels:
        """A wrong label for each of these."""
        classes = np.unique(candidates.data.train_labels)
        place = np.searchsorted(classes, labels)
        further = candidates.random.randint(1, len(classes), size=len(place)) if self.flip == "uniform" else 1
        return np.asarray(classes[(place + further) % len(classes)], dtype=np.int64)

    def unseen(self, candidates: Candidates, chosen: npt.NDArray[np.bool_], among: Samples) -> Unseen:
        """All, each under a wrong label of the same kind: else the attack would tell wrong labels from right ones."""
        return Unseen(remark="the attack looks at its samples under wrong labels, drawn as those of the forgotten ones")
