"""What a kind of forget set answers: which samples are forgotten, and which models that takes.

A kind is `deepunlearn/forget/NAME.py`, or a file of one's own, with one subclass of `ForgetSet`, whose fields are the
values of `conf/forget/NAME.yaml`. Planner, keys, worker and commands ask it, and know no kind by name. Most kinds say
only what `choose` returns; the rest is for designs of many models, such as U-LiRA's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, SerializeAsAny

from deepunlearn.core.samples import Candidates, Data, Indices, Samples, classes_of
from deepunlearn.core.split import OneSplit, Split, Splits
from deepunlearn.core.validation import Frozen
from deepunlearn.plugin_code import load, only_class

Role = Literal["original", "retrained"]
REQUESTS = ("rounds", "schedule", "search_rounds")  # options of every forget set, beside those of its YAML
LONGEST_SPELLING = 40
TITLES = {"val": "validation part", "test": "test part"}  # in remarks


class Unseen(NamedTuple):
    """Which samples of val or test are like the forget set.

    positions: among them, None: all; remark: what a caption must say, without the name of the part.
    """

    positions: npt.NDArray[np.integer[Any]] | None = None
    remark: str | None = None


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
