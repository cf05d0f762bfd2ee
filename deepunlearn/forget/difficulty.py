"""The samples that are hardest or easiest to learn are forgotten, or those in between."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from deepunlearn.core.forget import Candidates, ForgetSet, Indices, Pending, Splits
from deepunlearn.core.validation import Ratio

Scores = npt.NDArray[np.float64]


class DifficultyForget(ForgetSet):
    """By the confidence of the original of seed 0 in each sample over its training; equal ones are taken at random.

    The mean probability of the label at the end of each epoch (Swayamdipta et al. 2020); a low one is hard.
    """

    enlarge: ClassVar[str] = "raise forget.ratio"
    reduce: ClassVar[str] = "lower forget.ratio"

    by: Literal["confidence"]
    end: Literal["hardest", "easiest", "middle"]
    ratio: Ratio

    @property
    def title(self) -> str:
        return f"{self.end} {100 * self.ratio:g} %"

    @property
    def by_confidence(self) -> bool:
        return self.by == "confidence"

    def split(self, candidates: Candidates, val: Indices, test: Indices) -> Splits:
        if self.by_confidence and candidates.confidence is None:
            size = self._size(candidates)
            return Pending({"retain": len(candidates.rows) - size, "forget": size, "val": len(val), "test": len(test)})
        return super().split(candidates, val, test)

    def _size(self, candidates: Candidates) -> int:
        return round(self.ratio * len(candidates.rows))

    def choose(self, candidates: Candidates) -> Indices:
        order = np.argsort(-self._difficulty(candidates), kind="stable")  # among equals the random order stays
        size, there = self._size(candidates), len(order)
        first = {"hardest": 0, "easiest": there - size, "middle": (there - size) // 2}[self.end]
        return order[first : first + size]

    def _difficulty(self, candidates: Candidates) -> Scores:
        """[n], higher is harder."""
        assert candidates.confidence is not None
        return -candidates.confidence
