"""A random share of the training part is forgotten."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from deepunlearn.core.forget import Candidates, Data, ForgetSet, Indices
from deepunlearn.core.validation import Ratio


class RandomForget(ForgetSet):
    """One forget set; its size is rounded."""

    enlarge: ClassVar[str] = "raise forget.ratio"
    reduce: ClassVar[str] = "lower forget.ratio"

    ratio: Ratio

    def choose(self, candidates: Candidates) -> Indices:
        return np.arange(round(self.ratio * len(candidates.rows)))  # their order is random already

    @property
    def title(self) -> str:
        return f"random {100 * self.ratio:g} %"

    def key_fields(self, data: Data) -> dict[str, Any]:
        """As it was before there were other kinds."""
        return {"forget": self.name, "forget_ratio": self.ratio}
