"""What a kind of forget set answers: which samples are forgotten, and which models that takes.

A kind is `deepunlearn/forget/NAME.py`, or a file of one's own, with one subclass of `ForgetSet`, whose fields are the
values of `conf/forget/NAME.yaml`. Planner, keys, worker and commands ask it, and know no kind by name. Most kinds say
only what `choose` returns; the rest is for designs of many models, such as U-LiRA's.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, SerializeAsAny

from deepunlearn.core.validation import Frozen
from deepunlearn.registry import load, only_class

Indices = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int64]
Column = npt.NDArray[Any]  # int64, float64 or text, one value per sample; missing ones are NaN or ""
Role = Literal["original", "retrained"]
REQUESTS = ("rounds", "schedule", "search_rounds")  # options of every forget set, beside those of its YAML
LONGEST_SPELLING = 40
TITLES = {"val": "validation part", "test": "test part"}  # in remarks


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


class Unseen(NamedTuple):
    """Which samples of val or test are like the forget set.

    positions: among them, None: all; remark: what a caption must say, without the name of the part.
    """

    positions: npt.NDArray[np.integer[Any]] | None = None
    remark: str | None = None


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


class ForgetSet(Frozen):
    """A kind of forget set, with its values."""

    version: ClassVar[int] = 1  # bump when the same values would choose other samples
    enlarge: ClassVar[str] = "choose more samples"  # the remedy of a forget set that is too small
    reduce: ClassVar[str] = "choose fewer samples"  # and of one that leaves too few
    least: ClassVar[int] = 1  # samples; of one that is attacked whatever it is, as many as an attack needs
    scored: ClassVar[bool] = True  # each model gets a row of scores; else all models are attacked together, untimed
    computed_by: ClassVar[str] = "deepunlearn.stages.evaluation:Experiment"  # imported by workers only, it needs torch
    command: ClassVar[str] = "sweep"  # python -m deepunlearn.COMMAND runs it
    contract: ClassVar[tuple[str, ...]] = ()  # settings for its contract tests, where no YAML could suit all data
    undivided: ClassVar[str] = ""  # why its samples cannot arrive in several requests; empty: they can

    name: str
    module: str | None = None  # where the class is; null: ours
    code: str | None = None  # digest of that code

    # --------------------------------------------------------------------------------------------- what is forgotten

    @property
    def title(self) -> str:
        """What captions call it, e.g. "random 10 %"."""
        values = self.model_dump(mode="json", exclude={"name", "module", "code"})
        return " ".join([self.name, *(f"{name}={value}" for name, value in values.items())])

    @property
    def spelling(self) -> str:
        """What tells it from others in the name of a cell: the kind and its values, a digest where these are long."""
        values = self.model_dump(mode="json", exclude={"name", "module", "code"}, exclude_none=True)
        said = ",".join(f"{name}={_spelled(value)}" for name, value in values.items())
        if len(said) > LONGEST_SPELLING:
            said = hashlib.sha256(said.encode()).hexdigest()[:8]
        return f"{self.name}({said})" if said else self.name

    @property
    def kind(self) -> str:
        """What `forget=` calls it."""
        return self.name

    @property
    def known_as(self) -> tuple[str, ...]:
        """The names by which a command may choose it among others: its kind and its spelling."""
        return self.name, self.spelling

    def titled(self, class_names: Sequence[str]) -> str:
        """`title`, with the names of classes where it speaks of classes."""
        return self.title

    def check(self) -> None:
        """Raises ConfigError for what cannot be right whatever the data are; called as a command is read."""

    def choose(self, candidates: Candidates) -> npt.NDArray[np.integer[Any]]:
        """Positions of the forgotten samples among the candidates."""
        raise NotImplementedError

    def first(self, number: int) -> ForgetSet | None:
        """The forget set of the same kind that its `number` first samples are, in the candidates' order.

        None where no values of the kind say that.
        """
        return None

    def sized(self, number: int) -> ForgetSet:
        """The same with so many samples, where its values leave open how many there are."""
        return self

    def unseen(self, candidates: Candidates, chosen: npt.NDArray[np.bool_], among: Samples) -> Unseen:
        """Which samples of `among` (val or test) the attack holds the forget set against: by the same rule as `choose`.

        chosen [n]: which candidates are forgotten. All of them unless a kind says otherwise, which is right where
        chance alone decided who is forgotten.
        """
        return Unseen()

    def whole_classes(self, candidates: Candidates) -> Sequence[int]:
        """Classes that the forget set means to take whole, so that retain may lack them; by chance none may be lost."""
        return ()

    def remarks(self, candidates: Candidates) -> Sequence[str]:
        """What a caption must say of the forget set."""
        return ()

    def split(self, candidates: Candidates, val: Indices, test: Indices) -> Splits:
        """The splits of all models; val and test are sorted and the same for all."""
        chosen = np.zeros(len(candidates.rows), dtype=bool)
        chosen[self.choose(candidates)] = True
        retain, forget = (np.sort(candidates.rows[mask]) for mask in (~chosen, chosen))
        return OneSplit(self._described(Split(retain, forget, val, test), candidates, chosen))

    def _described(self, split: Split, candidates: Candidates, chosen: npt.NDArray[np.bool_]) -> Split:
        """`split` with what follows from these having been chosen: unseen samples like them, classes that are lost."""
        lost = set(self.whole_classes(candidates)) - classes_of(candidates.data.train_labels[split.retain])
        unseen: dict[str, Any] = {}
        remarks = [*self.remarks(candidates)]
        for part, among in (("val", candidates.val), ("test", candidates.test)):
            positions, remark = self.unseen(candidates, chosen, among)
            unseen[f"unseen_{part}"] = None if positions is None else np.sort(among.rows[positions])
            remarks += [f"{TITLES[part]}: {remark}"] if remark else []
        return replace(split, **unseen, forgotten_classes=tuple(sorted(lost)), remarks=tuple(remarks))

    def identity(self, data: Data) -> dict[str, Any]:
        """Its values as `data` mean them, which its key holds: equal for two spellings of the same forget set.

        A kind that reads a file or columns puts a digest of what it reads in their place.
        """
        return self.model_dump(mode="json", exclude={"name", "module", "code"})

    def key_fields(self, data: Data) -> dict[str, Any]:
        """What the key of a split of `data` holds of it."""
        return {
            "forget": self.name,
            "forget_ratio": None,
            "forget_version": self.version,
            "forget_values": self.identity(data),
            "forget_code": self.code,
        }

    @property
    def cuts_val(self) -> bool:
        """Whether it cuts the validation part by itself, out of all of the training part."""
        return False

    @property
    def cuts_test(self) -> bool:
        """Whether it tests on samples of the training part, and not on the test part."""
        return False

    # ------------------------------------------------------------------------------------------ which models it takes

    @property
    def by_confidence(self) -> bool:
        """Whether it goes by an original's confidence in its samples, so that the original is trained first.

        Until that is known, `split` is to return `Pending`.
        """
        return False

    @property
    def shares_original(self) -> bool:
        """Whether an original is what it is for other forget sets, too: trained on the same samples and labels."""
        return not (self.cuts_val or self.cuts_test)

    def seeds(self, given: Sequence[int]) -> Sequence[int]:
        """Seeds of the models that are reported, where seeds= of the command gives these."""
        return given

    def search_seed(self, number: int) -> int:
        """Seed of the model that search `number` runs on. Raises Unfit where there is none."""
        return number

    def reference_seed(self, role: Role, seed: int) -> int:
        """The smallest seed whose models have the same reference as those of `seed`."""
        return seed

    def trained_on(self, role: Role, seed: int) -> tuple[dict[str, int], int]:
        """What the split's key says further of this reference's training samples; the seed of its initial weights.

        Of an original that is shared with other forget sets only the seed counts.
        """
        return {}, seed


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def kind_of(name: str, module: str | None = None) -> type[ForgetSet]:
    """The class of a kind of forget set, ours or in `module`. Raises ConfigError where it cannot be imported."""
    return only_class(load(module or f"deepunlearn.forget.{name}"), ForgetSet, f"forget set {name!r}")


def _read(values: Any) -> Any:
    if isinstance(values, ForgetSet):
        return values
    return kind_of(values["name"], values.get("module")).model_validate(values)


AnyForgetSet = Annotated[SerializeAsAny[ForgetSet], BeforeValidator(_read)]
