"""What a kind of forget set answers: which samples are forgotten, and which models that takes.

A kind is `deepunlearn/forget/NAME.py`, or a file of one's own, with one subclass of `ForgetSet`, whose fields are the
values of `conf/forget/NAME.yaml`. Planner, keys, worker and commands ask it, and know no kind by name. Most kinds say
only what `choose` returns; the rest is for designs of many models, such as U-LiRA's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, SerializeAsAny

from deepunlearn.core.validation import Frozen
from deepunlearn.registry import load, only_class

Indices = npt.NDArray[np.int64]
Role = Literal["original", "retrained"]


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted int64 indices: `retain`, `forget`, `val` into the training part, `test` into the test part."""

    retain: Indices
    forget: Indices
    val: Indices
    test: Indices

    @property
    def train(self) -> Indices:
        """What the original is trained on: retain and forget, sorted."""
        return np.union1d(self.retain, self.forget)

    @property
    def sizes(self) -> dict[str, int]:
        """Samples of each part."""
        return {name: len(getattr(self, name)) for name in ("retain", "forget", "val", "test")}


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a forget set is chosen from: the training part without validation, in a random order.

    rows [n]: indices into the training part; labels [n]; random: for what else is to be drawn. The order and `random`
    derive from dataset.split_seed.
    """

    rows: Indices
    labels: Indices
    random: np.random.RandomState


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


class ForgetSet(Frozen):
    """A kind of forget set, with its values."""

    version: ClassVar[int] = 1  # bump when the same values would choose other samples
    enlarge: ClassVar[str] = "choose more samples"  # the remedy of a forget set that is too small
    reduce: ClassVar[str] = "choose fewer samples"  # and of one that leaves too few
    scored: ClassVar[bool] = True  # each model gets a row of scores; else all models are attacked together, untimed
    computed_by: ClassVar[str] = "deepunlearn.stages.evaluation:Experiment"  # imported by workers only, it needs torch
    command: ClassVar[str] = "sweep"  # python -m deepunlearn.COMMAND runs it

    name: str
    module: str | None = None  # where the class is; null: ours
    code: str | None = None  # digest of that code

    # --------------------------------------------------------------------------------------------- what is forgotten

    def choose(self, candidates: Candidates) -> npt.NDArray[np.integer[Any]]:
        """Positions of the forgotten samples among the candidates."""
        raise NotImplementedError

    def split(self, candidates: Candidates, val: Indices, test: Indices) -> Splits:
        """The splits of all models; val and test are sorted and the same for all."""
        chosen = np.zeros(len(candidates.rows), dtype=bool)
        chosen[self.choose(candidates)] = True
        retain, forget = (np.sort(candidates.rows[mask]) for mask in (~chosen, chosen))
        return OneSplit(Split(retain, forget, val, test))

    def key_fields(self) -> dict[str, Any]:
        """What the key of a split holds of it. A kind that reads a file adds its digest to `forget_values`."""
        return {
            "forget": self.name,
            "forget_ratio": None,
            "forget_version": self.version,
            "forget_values": self.model_dump(mode="json", exclude={"name", "module", "code"}),
            "forget_code": self.code,
        }

    # ------------------------------------------------------------------------------------------ which models it takes

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
        """What the split's key says further of this reference's training samples; the seed of its initial weights."""
        return {}, seed


def kind_of(name: str, module: str | None = None) -> type[ForgetSet]:
    """The class of a kind of forget set, ours or in `module`. Raises ConfigError where it cannot be imported."""
    return only_class(load(module or f"deepunlearn.forget.{name}"), ForgetSet, f"forget set {name!r}")


def _read(values: Any) -> Any:
    if isinstance(values, ForgetSet):
        return values
    return kind_of(values["name"], values.get("module")).model_validate(values)


AnyForgetSet = Annotated[SerializeAsAny[ForgetSet], BeforeValidator(_read)]
