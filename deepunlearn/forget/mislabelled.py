"""Labels of a share of the training part are wrong in training; the forget set is what is known of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from deepunlearn.core.forget import Candidates, ForgetSet, Indices, Labels, OneSplit
from deepunlearn.core.validation import Ratio


class MislabelledForget(ForgetSet):
    """Corrective unlearning (Goel et al. 2024): of the samples with wrong labels, a share is known and to be forgotten.

    The others stay in retain with their wrong labels, so that the retrained model sees these, too. Wrong are, of each
    model alike, the labels of a share of the candidates: drawn from the other classes (uniform), or the next class in
    their order, the first after the last (pairs).
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
        labels = self._flipped(candidates)
        return OneSplit(replace(right, wrong=wrong[order], wrong_labels=labels[order]))

    def _flipped(self, candidates: Candidates) -> Labels:
        """The wrong labels, in the order of the candidates."""
        classes = np.unique(candidates.labels)
        place = np.searchsorted(classes, candidates.labels[: self._wrong(candidates)])
        further = candidates.random.randint(1, len(classes), size=len(place)) if self.flip == "uniform" else 1
        return np.asarray(classes[(place + further) % len(classes)], dtype=np.int64)
