"""The samples of a dataset, as rules that choose among them may look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int64]
Column = npt.NDArray[Any]  # int64, float64 or text, one value per sample; missing ones are NaN or ""
EXACT = 2**53  # whole numbers from here on are not all told apart by a float64


def classes_of(labels: Labels) -> set[int]:
    """The classes that there are among labels; of a million ten times as fast as numpy's `unique`."""
    return set(np.flatnonzero(np.bincount(labels)).tolist())


class Columns(Protocol):
    """What is known of the samples of a dataset beside their labels: of each part columns by name, and names."""

    @property
    def train(self) -> Mapping[str, Column]: ...
    @property
    def test(self) -> Mapping[str, Column]: ...
    @property
    def train_names(self) -> Sequence[str] | None: ...
    @property
    def test_names(self) -> Sequence[str] | None: ...


class Data(Protocol):
    """A dataset as forget sets may look at it: both parts whole, nothing drawn yet."""

    @property
    def train_labels(self) -> Labels: ...
    @property
    def test_labels(self) -> Labels: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def attributes(self) -> Columns: ...


class _NoColumns(NamedTuple):
    train: Mapping[str, Column]
    test: Mapping[str, Column]
    train_names: Sequence[str] | None
    test_names: Sequence[str] | None


NO_COLUMNS: Columns = _NoColumns({}, {}, None, None)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Data of which labels are known, and perhaps more."""

    train_labels: Labels = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    test_labels: Labels = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    class_names: tuple[str, ...] = ()
    attributes: Columns = NO_COLUMNS


class _Taken(Mapping[str, Column]):
    """Columns at some rows. Each is cut when it is asked for: most rules look at none, and columns may be many."""

    def __init__(self, columns: Callable[[], Mapping[str, Column]], rows: Indices) -> None:
        self._columns, self._rows = columns, rows

    def __getitem__(self, name: str) -> Column:
        return np.asarray(self._columns()[name])[self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns())

    def __len__(self) -> int:
        return len(self._columns())


@dataclass(frozen=True, eq=False)
class Samples:
    """Some samples of the training or test part, as a rule may look at them.

    rows [n]: indices into that part; labels [n].
    """

    rows: Indices
    labels: Labels
    part: Literal["train", "test"]
    data: Data

    @cached_property
    def attributes(self) -> Mapping[str, Column]:
        """By name, values [n] in the order of the rows."""
        return _Taken(lambda: getattr(self.data.attributes, self.part), self.rows)

    @cached_property
    def names(self) -> npt.NDArray[np.str_] | None:
        """[n] file names, relative to the dataset's folder; None where samples have none of their own."""
        names = getattr(self.data.attributes, f"{self.part}_names")
        return None if names is None else np.asarray(names, dtype=np.str_)[self.rows]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.data.class_names


@dataclass(frozen=True, eq=False)
class Candidates(Samples):
    """What a forget set is chosen from: the training part without validation, in a random order.

    rows [n]: indices into the training part; labels [n]; random: for what else is to be drawn. The order and `random`
    derive from dataset.split_seed. val and test: the samples that are never trained on, sorted. confidence [n]: how
    sure an original was of each over its training, 0 to 1; None where a kind does not go by it, or before it is known.
    """

    random: np.random.RandomState
    val: Samples
    test: Samples
    confidence: npt.NDArray[np.float64] | None = None
