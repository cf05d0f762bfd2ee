"""Requests that arrive one after the other: what is forgotten after each of them. Of any kind that draws samples."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import AnyForgetSet, ForgetSet, Role, Unseen
from deepunlearn.core.samples import Candidates, Data, Indices, Samples
from deepunlearn.core.split import OneSplit, Pending, Split, Splits
from deepunlearn.core.validation import Frozen, PositiveInt, Unfit, validate
from deepunlearn.forget.list import MOST_ROUNDS, ListForget, numbered, read
from deepunlearn.forget.list import ROUND as COLUMN

AFTER = "{}, after {} of {} requests"  # title of what is forgotten by a round
_AFTER = re.compile(AFTER.format("(.*)", r"(\d+)", r"(\d+)"))
LONGEST = 24  # letters of a schedule in the name of a cell
FILE = "file"  # forget.rounds=file: the list says it
HOW = "forget.rounds=NUMBER, forget.schedule=[SIZE,SIZE,...], or forget=list forget.rounds=file"


def told(title: str) -> tuple[str, int, int] | None:
    """What a title made as `AFTER` is made of: that of the whole forget set, the round, and how many there are.

    None where it is of no round.
    """
    found = _AFTER.fullmatch(title)
    return None if found is None else (found[1], int(found[2]), int(found[3]))


class Asked(Frozen):
    """What a command says of requests, beside the forget set. rounds: how many, or file: as the list says."""

    rounds: int | Literal["file"] | None = None  # so many requests of equal size; file: as its column round says
    schedule: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=MOST_ROUNDS)] | None = None  # sizes
    search_rounds: Literal["first", "each"] = "first"  # search hyper-parameters in the first round, or in each

    @field_validator("rounds", mode="before")
    @classmethod
    def _number(cls, given: Any) -> Any:
        if given is None or given == FILE or (type(given) is int and 1 <= given <= MOST_ROUNDS):
            return given
        raise Unfit(
            "forget.rounds is no number of requests",
            given=f"forget.rounds={given}",
            allowed=f"a whole number from 1 to {MOST_ROUNDS}, or file, where a list has a column {COLUMN}",
            remedy="give forget.rounds=NUMBER, or sizes with forget.schedule=[SIZE,SIZE,...]",
        )

    @model_validator(mode="after")
    def _one_way(self) -> Asked:
        if (self.rounds is None) == (self.schedule is None):
            said = "the requests are cut in two ways" if self.rounds else "search_rounds is said of no requests"
            raise Unfit(
                said,
                given=" ".join(f"forget.{name}={value}" for name, value in self.model_dump(exclude_none=True).items()),
                allowed=HOW,
                remedy="give one of forget.rounds and forget.schedule, or leave all of them out for a single request",
            )
        return self


def rounds(of: ForgetSet, asked: Mapping[str, Any]) -> Iterator[RoundsForget]:
    """What is forgotten after each request. asked: the values of `Asked`. Raises ConfigError."""
    cut = validate(Asked, asked, "forget")
    if of.undivided:
        raise ConfigError(
            f"the samples of forget={of.kind} cannot arrive in several requests: {of.undivided}",
            given=" ".join(f"forget.{name}={value}" for name, value in asked.items()),
            allowed="forget sets that draw samples, or list them",
            remedy="leave forget.rounds and forget.schedule out, or use another forget set, e.g. forget=random",
        )
    values: dict[str, Any] = {"of": of.sized(sum(cut.schedule)) if cut.schedule else of, "schedule": cut.schedule}
    number = _listed(of) if isinstance(cut.rounds, str) else cut.rounds or len(cut.schedule or ())
    values |= {"listed": cut.rounds == FILE, "rounds": number, "search_rounds": cut.search_rounds}
    for round in range(1, number + 1):
        yield validate(RoundsForget, {"name": "rounds", "round": round, **values}, "forget")


def _listed(of: ForgetSet) -> int:
    """The number of requests of a list. Raises ConfigError where it has none."""
    if not isinstance(of, ListForget):
        raise ConfigError(
            "forget.rounds=file is of lists: their file says which sample is in which request",
            given=f"forget={of.kind} forget.rounds=file",
            allowed=HOW,
            remedy="give forget=list forget.file=FILE with a column round, or the number of requests",
        )
    return int(numbered(of.file, read(Path(of.file), COLUMN)).max())


class RoundsForget(ForgetSet):
    """What is forgotten after `round` of `rounds` requests: all samples of the requests so far.

    The samples are those of the forget set `of`, in the order in which dataset.split_seed shuffles the training part;
    the requests follow each other in that order, of equal sizes (the first ones larger by one where it must be), or of
    the sizes in `schedule`. listed: the column `round` of the list says in which request a sample is.
    search_rounds: whether hyper-parameters are searched in the first round only, or in each.
    """

    of: AnyForgetSet
    rounds: PositiveInt
    schedule: tuple[PositiveInt, ...] | None = None
    listed: bool = False
    round: PositiveInt
    search_rounds: Literal["first", "each"] = "first"

    # ------------------------------------------------------------------------------------------ what it is called

    @property
    def kind(self) -> str:
        return self.of.kind

    @property
    def title(self) -> str:
        return self._after(self.of.title)

    def titled(self, class_names: Sequence[str]) -> str:
        return self._after(self.of.titled(class_names))

    def _after(self, title: str) -> str:
        return AFTER.format(title, self.round, self.rounds)

    @property
    def spelling(self) -> str:
        return f"{self.sequence}#{self.round}"

    @property
    def sequence(self) -> str:
        """The same of all rounds."""
        each = ",search_rounds=each" if self.search_rounds == "each" else ""
        return f"{self.of.spelling},{self._cut}{each}"

    @property
    def _cut(self) -> str:
        if self.listed:
            return "rounds=file"
        if self.schedule is None:
            return f"rounds={self.rounds}"
        said = "-".join(map(str, self.schedule))
        return f"schedule={said if len(said) <= LONGEST else hashlib.sha256(said.encode()).hexdigest()[:8]}"

    @property
    def known_as(self) -> tuple[str, ...]:
        return (*self.of.known_as, self.sequence)

    # -------------------------------------------------------------------------------------------- other rounds

    def at(self, round: int) -> RoundsForget:
        """The same sequence after another number of requests."""
        return self.model_copy(update={"round": round})

    def cut_fields(self, data: Data) -> dict[str, Any]:
        """What, beside the forget set, says which sample is in which request of the whole sequence."""
        if self.schedule is not None:
            return {"schedule": self.schedule}
        if not self.listed:
            return {"rounds": self.rounds}
        assert isinstance(self.of, ListForget)
        rows, rounds = self.of.with_rounds(data)
        content = np.stack([rows, rounds])[:, np.argsort(rows)].astype("<i8").tobytes()
        return {"rounds": self.rounds, "listed": hashlib.sha256(content).hexdigest()}

    def union_fields(self, data: Data, size: int) -> dict[str, Any]:
        """What the key of the split holds of it; size: samples of all requests so far.

        It is that of an ordinary forget set of these samples, where there is one: after the last request always, of
        random ones and of lists in every round.
        """
        if self.round == self.rounds:
            return self.of.key_fields(data)
        ordinary = self._until if self.listed else self.of.first(size)
        if ordinary is not None:
            return ordinary.key_fields(data)
        fields = self.of.key_fields(data)
        return {**fields, "forget_values": {**fields["forget_values"], "first": size}}

    @property
    def _until(self) -> ListForget:
        """The list without the entries of later requests."""
        assert isinstance(self.of, ListForget)
        return self.of if self.round == self.rounds else self.of.until(self.round)

    # ------------------------------------------------------------------------------------------------- the split

    def split(self, candidates: Candidates, val: Indices, test: Indices) -> Splits:
        state = candidates.random.get_state()
        whole = self.of.split(candidates, val, test)
        if not whole.seeds:
            return self._pending(whole.sizes(0))
        candidates.random.set_state(state)  # what follows is drawn as an ordinary forget set of these samples draws it
        split = whole.of(0)
        chosen = np.isin(candidates.rows, self._gone(candidates, split))
        retain, forget = (np.sort(candidates.rows[mask]) for mask in (~chosen, chosen))
        rule = self._until if self.listed else self.of
        return OneSplit(rule._described(replace(split, retain=retain, forget=forget), candidates, chosen))

    def _gone(self, candidates: Candidates, whole: Split) -> Indices:
        """The samples of all requests so far. Raises ConfigError where a request would be empty."""
        if self.listed:
            return self._listed_so_far(candidates)
        order = candidates.rows[np.isin(candidates.rows, whole.forget)]
        return order[: self.ends(len(order))[self.round - 1]]

    def _pending(self, sizes: dict[str, int]) -> Pending:
        end = self.ends(sizes["forget"])[self.round - 1]
        return Pending({**sizes, "retain": sizes["retain"] + sizes["forget"] - end, "forget": end})

    def ends(self, size: int) -> list[int]:
        """How many of `size` samples are forgotten after each request. Raises ConfigError where they do not suffice."""
        if self.schedule is not None:
            if sum(self.schedule) != size:
                raise self._other_sum(size)
            return list(itertools.accumulate(self.schedule))
        if size < self.rounds:
            raise ConfigError(
                "the forget set has fewer samples than there are requests",
                given=f"forget.rounds={self.rounds}, {size} samples of {self.of.title}",
                allowed=f"1 to {size} requests",
                remedy=f"lower forget.rounds, or {self.of.enlarge}",
            )
        least, more = divmod(size, self.rounds)
        return [number * least + min(number, more) for number in range(1, self.rounds + 1)]

    def _other_sum(self, size: int) -> ConfigError:
        total = sum(self.schedule or ())
        less = "more samples than the forget set has" if total > size else "not all samples of the forget set"
        return ConfigError(
            f"forget.schedule asks for {less}",
            given=f"forget.schedule={list(self.schedule or ())}: {total:,} samples, of {size:,} of {self.of.title}",
            allowed=f"sizes that add up to {size:,}",
            remedy="correct a size, or the size of the forget set; a random one has that of its schedule where neither "
            "forget.ratio nor forget.count is given",
        )

    def _listed_so_far(self, candidates: Candidates) -> Indices:
        """Raises ConfigError where a request has only samples that no model is trained on."""
        assert isinstance(self.of, ListForget)
        rows, rounds = self.of.with_rounds(candidates.data)
        trained = np.isin(rows, candidates.rows)
        idle = sorted(set(range(1, self.rounds + 1)) - set(rounds[trained].tolist()))
        if idle:
            raise ConfigError(
                "a request lists only samples that are not trained on",
                given=f"{self.of.file}: round {', '.join(map(str, idle[:10]))}",
                allowed="in each round at least one sample that is neither in the validation part nor left out by "
                "dataset.limit",
                remedy="put their samples into other rounds, leave dataset.limit out, or draw another split with "
                "dataset.split_seed",
            )
        return rows[trained & (rounds <= self.round)]

    # ----------------------------------------------------------------------------------- as the whole forget set

    def key_fields(self, data: Data) -> dict[str, Any]:
        return self.of.key_fields(data)

    def check(self) -> None:
        self.of.check()

    def whole_classes(self, candidates: Candidates) -> Sequence[int]:
        return self.of.whole_classes(candidates)

    def unseen(self, candidates: Candidates, chosen: npt.NDArray[np.bool_], among: Samples) -> Unseen:
        return self.of.unseen(candidates, chosen, among)

    @property
    def by_confidence(self) -> bool:
        return self.of.by_confidence

    @property
    def shares_original(self) -> bool:
        return True  # at least with its other rounds

    def trained_on(self, role: Role, seed: int) -> tuple[dict[str, int], int]:
        return self.of.trained_on(role, seed)

    @model_validator(mode="after")
    def _there(self) -> RoundsForget:
        if self.round > self.rounds:
            raise Unfit(
                "there is no such round",
                given=f"round {self.round} of {self.rounds}",
                allowed=f"1 to {self.rounds}",
                remedy="give the number of a request",
            )
        return self
