"""Which samples count for what, as the forget set has it (protocol section 5): for accuracies and for the attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from deepunlearn.core.split import Split
from deepunlearn.metrics import FOLDS
from deepunlearn.metrics.accuracy import Floats, Integers, losses

Array = TypeVar("Array", bound=npt.NDArray[Any])
UNSEEN = {"val": "unseen_val", "test": "unseen_test"}
PARTS = {"val": "validation", "test": "test"}  # in words


@dataclass(frozen=True, eq=False)
class Counted:
    """forgotten_classes: that the forget set took whole. unseen: of val and test the positions [n] of the samples that
    are like the forgotten ones, which the attack holds these against; of a part that is not there, all samples. labels:
    of val and test those under which the attack looks at these samples [n], where they are not the samples' own.
    """

    forgotten_classes: tuple[int, ...] = ()
    unseen: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    labels: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def of(cls, split: Split) -> Counted:
        """What `split` says."""
        rows = {part: (getattr(split, part), getattr(split, name)) for part, name in UNSEEN.items()}
        unseen = {part: np.searchsorted(every, own) for part, (every, own) in rows.items() if own is not None}
        labels = {part: getattr(split, f"{name}_labels") for part, name in UNSEEN.items()}
        return cls(split.forgotten_classes, unseen, {part: own for part, own in labels.items() if own is not None})

    def attacked(self, part: str, values: Array) -> Array:
        """Of `values` [N, ...] of a part those that the attack looks at."""
        return values[self.unseen[part]] if part in self.unseen else values  # type: ignore[return-value]

    def with_attacked(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Values by part, and as further parts `unseen_val` and `unseen_test` what the attack looks at.

        Those that are there stay as they are, and there are none of a part that is not there.
        """
        there = {name: part for part, name in UNSEEN.items() if part in values}
        return {**{name: self.attacked(part, values[part]) for name, part in there.items()}, **values}

    def attacked_labels(self, part: str, labels: Integers) -> Integers:
        """The labels, of those of a part [N], under which the attack looks at its samples."""
        return self.labels[part] if part in self.labels else self.attacked(part, labels)

    def with_attacked_labels(self, labels: Mapping[str, Integers]) -> dict[str, Integers]:
        """As `with_attacked`, of labels."""
        there = {name: part for part, name in UNSEEN.items() if part in labels}
        return {**{name: self.attacked_labels(part, labels[part]) for name, part in there.items()}, **labels}

    def among(self, part: str, rows: npt.NDArray[np.int64]) -> Counted:
        """Where there are only these samples of a part: positions [n], ascending."""
        if part not in self.unseen:
            return self
        there = np.isin(self.unseen[part], rows)
        unseen = {**self.unseen, part: np.searchsorted(rows, self.unseen[part][there])}
        labels = {name: own[there] if name == part else own for name, own in self.labels.items()}
        return Counted(self.forgotten_classes, unseen, labels)

    def unseen_losses(
        self, part: str, logits: Mapping[str, Floats], labels: Mapping[str, Integers]
    ) -> npt.NDArray[np.float64]:
        """Losses of the samples that the attack looks at of val or test; there may be none."""
        own, name = self.with_attacked(logits), UNSEEN[part]
        if name not in own or not len(own[name]):
            return np.empty(0)
        return losses(own[name], self.with_attacked_labels(labels)[name])

    def retained(self, labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
        """Which samples [N] are of a class that is not forgotten whole; labels [N]."""
        return ~np.isin(labels, self.forgotten_classes)


EVERYTHING = Counted()
"""No class is forgotten whole, and the attack looks at all samples: random forget sets, and all before others came."""


def too_few(forgotten: int, unseen: int, part: str) -> str | None:
    """Why the attack is n/a on `forgotten` samples against `unseen` ones of a part; None where there are enough."""
    if min(forgotten, unseen) >= FOLDS:
        return None
    of = f"{unseen} samples of the {PARTS[part]} part match the forgotten ones"
    few = "1 sample is forgotten" if forgotten == 1 else f"{forgotten} samples are forgotten"
    return f"attack n/a: {few if forgotten < FOLDS else of}, and it needs {FOLDS}"
