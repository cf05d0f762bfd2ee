"""What is retained, forgotten and held out, of one model and of all models of a cell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from deepunlearn.core.samples import Indices, Labels


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted int64 indices: `retain`, `forget`, `val` into the training part, `test` into the test part.

    test_of_train: `test` are samples of the training part, too.
    unseen_val, unseen_test: those of val and test that are like the forget set, which the attack compares it with;
    None: all of them. There may be too few for the attack. unseen_val_labels, unseen_test_labels: the labels under
    which it looks at them; None: their own.
    forgotten_classes: those that retain lacks because the forget set took them whole; remarks: what a caption must say.
    wrong: training samples whose labels are wrong in training, sorted; wrong_labels: the labels that training sees.
    """

    retain: Indices
    forget: Indices
    val: Indices
    test: Indices
    unseen_val: Indices | None = None
    unseen_test: Indices | None = None
    forgotten_classes: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()
    wrong: Indices | None = None
    wrong_labels: Labels | None = None
    unseen_val_labels: Labels | None = None
    unseen_test_labels: Labels | None = None
    test_of_train: bool = False

    @property
    def train(self) -> Indices:
        """What the original is trained on: retain and forget, sorted."""
        return np.union1d(self.retain, self.forget)

    def labels_in_training(self, labels: Labels) -> Labels:
        """The labels of the whole training part as training sees them, of the true ones."""
        if self.wrong is None or self.wrong_labels is None:
            return labels
        seen = labels.copy()
        seen[self.wrong] = self.wrong_labels
        return seen

    @property
    def sizes(self) -> dict[str, int]:
        """Samples of each part."""
        return {name: len(getattr(self, name)) for name in ("retain", "forget", "val", "test")}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What is stored of it: a field that says nothing is left out, so that old entries are like new ones."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: value if isinstance(value, np.ndarray) else np.array(value)
            for name, value in values.items()
            if value is not None and (isinstance(value, np.ndarray) or value)
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Split:
        """The split whose `arrays` these are."""
        values: dict[str, Any] = dict(arrays)
        for name in {"forgotten_classes", "remarks"} & values.keys():
            values[name] = tuple(arrays[name].tolist())
        if "test_of_train" in values:
            values["test_of_train"] = bool(arrays["test_of_train"])
        return cls(**values)


class Splits(ABC):
    """The splits of all models of a cell."""

    @property
    @abstractmethod
    def seeds(self) -> Sequence[int]:
        """A seed of each split that differs from the others."""

    @abstractmethod
    def of(self, seed: int) -> Split:
        """What the models of `seed` retain and forget."""

    def sizes(self, seed: int) -> dict[str, int]:
        """Samples of each part of that split."""
        return self.of(seed).sizes


@dataclass(frozen=True, eq=False)
class OneSplit(Splits):
    """The same split for all models."""

    split: Split

    @property
    def seeds(self) -> Sequence[int]:
        return (0,)

    def of(self, seed: int) -> Split:
        return self.split


@dataclass(frozen=True, eq=False)
class Pending(Splits):
    """Of a split that is not known yet: the sizes, which are."""

    known: Mapping[str, int]

    @property
    def seeds(self) -> Sequence[int]:
        return ()

    def of(self, seed: int) -> Split:
        raise LookupError("this split is known only when an original's confidence in its samples is")

    def sizes(self, seed: int) -> dict[str, int]:
        return dict(self.known)
