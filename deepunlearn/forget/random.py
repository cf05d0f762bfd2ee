"""A random share, or a random number, of the training samples is forgotten."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import model_validator

from deepunlearn.core.forget import ForgetSet
from deepunlearn.core.samples import Candidates, Data, Indices
from deepunlearn.core.validation import PositiveInt, Ratio, Unfit

TENTH = 0.1


class RandomForget(ForgetSet):
    """One forget set, of `ratio` (its size is rounded) or `count` samples; a tenth where neither is given."""

    enlarge: ClassVar[str] = "raise forget.ratio or forget.count"
    reduce: ClassVar[str] = "lower forget.ratio or forget.count"

    ratio: Ratio | None = None
    count: PositiveInt | None = None

    @property
    def title(self) -> str:
        if self.count is not None:
            return f"{self.count:,} random sample{'s'[: self.count > 1]}"
        return f"random {100 * self.share:.6g} %"

    @property
    def share(self) -> float:
        """Of the candidates, where no number is given."""
        return TENTH if self.ratio is None else self.ratio

    def choose(self, candidates: Candidates) -> Indices:
        there = len(candidates.rows)
        return np.arange(min(there, self.count or round(self.share * there)))  # their order is random already

    def first(self, number: int) -> RandomForget:
        return RandomForget(name=self.name, count=number)

    def sized(self, number: int) -> RandomForget:
        return self.first(number) if self.ratio is None and self.count is None else self

    def key_fields(self, data: Data) -> dict[str, Any]:
        """Of a share as it was before there were numbers, or other kinds."""
        if self.count is not None:
            return super().key_fields(data)
        return {"forget": self.name, "forget_ratio": self.share}

    def identity(self, data: Data) -> dict[str, Any]:
        return {"count": self.count}

    @model_validator(mode="after")
    def _one_size(self) -> RandomForget:
        if self.ratio is not None and self.count is not None:
            raise Unfit(
                "the forget set has two sizes",
                given=f"forget.ratio={self.ratio} forget.count={self.count}",
                allowed="a share or a number of samples",
                remedy="leave one of them out",
            )
        return self
