"""Named partitions, cut one after another: ERASURE's cascade of splitters (D'Angelo et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import ForgetSet, Unseen, kind_of
from deepunlearn.core.samples import Candidates, Data, Indices, Samples
from deepunlearn.core.split import OneSplit, Split
from deepunlearn.core.validation import Frozen, PositiveInt, Ratio, Unfit, validate
from deepunlearn.forget.matching import matched_by_class

START = "train"  # the training part; without validation, unless a step cuts that
USED = ("retain", "forget", "val", "test")
NEEDED = ("retain", "forget")
RULES = {  # what a step goes by -> the kind of forget set that does it, and which value of that is the step's
    "share": ("random", "ratio"),
    "count": ("random", "count"),
    "classes": ("classes", "classes"),
    "list": ("list", "file"),
    "where": ("where", "where"),
}
VALUES = {"list": "file"}  # the step's value, where it is not called as what the step goes by
BY_CHANCE = ("share", "count", "concat")

Name = Annotated[str, Field(min_length=1)]


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Step(Frozen):
    """Takes one partition and makes two of it: what its rule chooses, and the rest. concat: one of several."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    source: Annotated[tuple[Name, ...], BeforeValidator(_several), Field(alias="from")]
    by: Literal["share", "count", "classes", "list", "where", "concat"]
    into: Annotated[tuple[Name, ...], BeforeValidator(_several)]
    share: Ratio | None = None
    count: PositiveInt | None = None
    classes: tuple[int | str, ...] | None = None
    file: Name | None = None
    where: dict[str, Any] | None = None

    @property
    def rule(self) -> ForgetSet | None:
        """The kind of forget set that chooses; None of concat."""
        if self.by == "concat":
            return None
        name, field = RULES[self.by]
        values = {"name": name, field: getattr(self, VALUES.get(self.by, self.by))}
        return validate(kind_of(name), values, "forget.steps")

    @field_validator("file")
    @classmethod
    def _absolute(cls, file: str | None) -> str | None:
        """Jobs may start elsewhere."""
        return None if file is None else str(Path(file).expanduser().absolute())

    @model_validator(mode="after")
    def _fits(self) -> Step:
        value = VALUES.get(self.by, self.by)
        wanted = set() if self.by == "concat" else {value}
        given = {name for name in ("share", "count", "classes", "file", "where") if getattr(self, name) is not None}
        if given != wanted:
            raise Unfit(
                f"a step by {self.by} does not have the values that it goes by",
                given=f"{', '.join(sorted(given)) or 'no value'} in {self.text}",
                allowed=f"{value}: VALUE beside from, by and into, and nothing else"
                if wanted
                else "from, by and into, and nothing else",
                remedy="correct the step in forget.steps",
            )
        sources, outputs = (2, 1) if self.by == "concat" else (1, 2)
        if (len(self.source) < 2 if self.by == "concat" else len(self.source) != 1) or len(self.into) != outputs:
            raise Unfit(
                f"a step by {self.by} has other partitions than it can work with",
                given=self.text,
                allowed="from: [A, B, ...], into: [C]" if sources == 2 else "from: A, into: [CHOSEN, REST]",
                remedy="correct the step in forget.steps",
            )
        _ = self.rule  # its value is refused here, not when data are there
        return self

    @property
    def text(self) -> str:
        return str(self.model_dump(exclude_none=True, mode="json"))


_Result = tuple[int, int]  # (number of a step, number of its output)
_ALL: _Result = (-1, 0)


@dataclass(frozen=True)
class _Place:
    """A step where it stands, and which earlier outputs it takes."""

    number: int
    step: Step
    sources: tuple[_Result, ...]


class StepsForget(ForgetSet):
    """Partitions `retain` and `forget`, and where a step makes them `val` and `test`, of which models are made.

    The first step takes `train`: the training part without validation, or with it where a step makes `val`. Where one
    makes `test`, these samples of the training part are tested on in place of the test part. What a step draws derives
    from dataset.split_seed and its number, never from a name, so that other names give the same samples.
    """

    enlarge: ClassVar[str] = "let a step put more samples into forget"
    reduce: ClassVar[str] = "let the steps put more samples into retain"
    undivided: ClassVar[str] = "its steps make the partitions, each from those before it"

    steps: Annotated[tuple[Step, ...], Field(min_length=1)]

    # --------------------------------------------------------------------------------------------------- how it hangs

    @property
    def _places(self) -> tuple[_Place, ...]:
        return tuple(self._followed()[0])

    @property
    def _results(self) -> Mapping[str, _Result]:
        """Which output of which step each partition that is used in the end is."""
        return self._followed()[1]

    def _followed(self) -> tuple[list[_Place], dict[str, _Result]]:
        """The steps and what they leave. Raises Unfit where a partition is unknown, taken twice or made twice."""
        live, taken = {START: _ALL}, dict[str, int]()
        places = []
        for number, step in enumerate(self.steps):
            for name in step.source:
                if name not in live:
                    raise _unknown(name, number, live, taken)
                taken[name] = number
            places.append(_Place(number, step, tuple(live.pop(name) for name in step.source)))
            for output, name in enumerate(step.into):
                if name in live or name == START:
                    raise _made_twice(name, number)
                live[name] = (number, output)
        return places, live

    @model_validator(mode="after")
    def _complete(self) -> StepsForget:
        left = set(self._results) - set(USED)
        if missing := [name for name in NEEDED if name not in self._results]:
            raise Unfit(
                f"no step leaves a partition called {missing[0]}",
                given=f"in the end there are {', '.join(self._results)}",
                allowed="retain and forget, and if wanted val and test",
                remedy=f"let a step in forget.steps put {missing[0]} into its partitions, and no later one take it",
            )
        if left:
            raise Unfit(
                "a partition is left over: nothing is made of it",
                given=", ".join(sorted(left)),
                allowed=f"in the end {', '.join(USED)} only",
                remedy="let a step take it (by: concat puts it to another), or call it by one of these names",
            )
        return self

    @property
    def _path(self) -> list[tuple[_Place, int]]:
        """The steps that lead to the forget set, last first, each with the output that is on the way there."""
        path, ahead = [], [self._results["forget"]]
        while ahead:
            number, output = ahead.pop(0)
            if number >= 0:
                path.append((self._places[number], output))
                ahead += self._places[number].sources
        return path

    # ------------------------------------------------------------------------------------------------- what it leaves

    @property
    def cuts_val(self) -> bool:
        return "val" in self._results

    @property
    def cuts_test(self) -> bool:
        return "test" in self._results

    def split(self, candidates: Candidates, val: Indices, test: Indices) -> OneSplit:
        cut = self._cut(candidates)
        own = {name: np.sort(candidates.rows[cut[result]]) for name, result in self._results.items()}
        parts: dict[str, Any] = {"val": val, "test": test, **own}
        split = Split(**parts, test_of_train=self.cuts_test)
        chosen = np.zeros(len(candidates.rows), dtype=bool)
        chosen[cut[self._results["forget"]]] = True
        never_trained_on: dict[str, Any] = {
            name: _of_train(own[name], candidates) for name in ("val", "test") if name in own
        }
        return OneSplit(self._described(split, replace(candidates, **never_trained_on), chosen))

    def _cut(self, candidates: Candidates) -> dict[_Result, Indices]:
        """Positions among the candidates of each output of each step. Raises ConfigError where one is empty."""
        cut = {_ALL: np.arange(len(candidates.rows))}
        drawn = int(candidates.random.randint(2**31))
        for place in self._places:
            given = np.concatenate([cut[source] for source in place.sources])
            outputs = _applied(place, given[np.argsort(candidates.rows[given])], candidates, drawn)
            for number, (name, positions) in enumerate(zip(place.step.into, outputs, strict=True)):
                if not len(positions):
                    raise _empty(place, name, len(given))
                cut[place.number, number] = positions
        return cut

    # ---------------------------------------------------------------------------------------------- what is unseen

    @property
    def _rule(self) -> ForgetSet | None:
        """The one rule by which the forget set was chosen; None where it is what others left, or several decided."""
        if any(output == 1 or place.step.by == "concat" for place, output in self._path):
            return None
        decided = [place.step for place, _ in self._path if place.step.by not in BY_CHANCE] or [self._path[0][0].step]
        return decided[0].rule if len(decided) == 1 else None

    @property
    def _rules(self) -> list[ForgetSet]:
        """Those that chose samples on the way to the forget set."""
        chosen = [place.step.rule for place, output in self._path if output == 0]
        return [rule for rule in chosen if rule is not None]

    @property
    def title(self) -> str:
        return self._rule.title if self._rule else f"{len(self.steps)} steps"

    def titled(self, class_names: Sequence[str]) -> str:
        return self._rule.titled(class_names) if self._rule else self.title

    def unseen(self, candidates: Candidates, chosen: npt.NDArray[np.bool_], among: Samples) -> Unseen:
        if all(place.step.by in BY_CHANCE for place, _ in self._path):
            return Unseen()
        if self._rule is not None:
            return self._rule.unseen(candidates, chosen, among)
        return matched_by_class(candidates, chosen, among, "several steps decided what is forgotten")

    def check(self) -> None:
        for rule in self._rules:
            rule.check()

    def remarks(self, candidates: Candidates) -> Sequence[str]:
        return [remark for rule in self._rules for remark in rule.remarks(candidates)]

    def whole_classes(self, candidates: Candidates) -> Sequence[int]:
        return sorted({label for rule in self._rules for label in rule.whole_classes(candidates)})

    def identity(self, data: Data) -> dict[str, Any]:
        """What each step does to which outputs: names of partitions are not part of it."""
        return {
            "steps": [
                {
                    "from": place.sources,
                    "by": place.step.by,
                    "values": place.step.rule.identity(data) if place.step.rule else {},
                }
                for place in self._places
            ],
            "partitions": dict(self._results),
        }


def _of_train(rows: Indices, candidates: Candidates) -> Samples:
    return Samples(rows, candidates.data.train_labels[rows], "train", candidates.data)


def _applied(place: _Place, given: Indices, candidates: Candidates, drawn: int) -> list[Indices]:
    """Positions of each output of a step that is given the candidates at `given`, in the order of their numbers."""
    rule = place.step.rule
    if rule is None:
        return [given]
    random = np.random.RandomState([drawn, place.number])
    shuffled = given[random.permutation(len(given))]
    own = replace(candidates, rows=candidates.rows[shuffled], labels=candidates.labels[shuffled], random=random)
    chosen = np.zeros(len(given), dtype=bool)
    chosen[rule.choose(own)] = True
    return [shuffled[chosen], shuffled[~chosen]]


def _empty(place: _Place, name: str, size: int) -> ConfigError:
    return ConfigError(
        f"step {place.number + 1} of forget.steps leaves partition {name!r} empty",
        given=f"{place.step.text}, of {size} samples",
        allowed="at least one sample in each partition",
        remedy="correct its value, or leave the step out",
    )


def _unknown(name: str, number: int, live: Iterable[str], taken: Mapping[str, int]) -> Unfit:
    given = f"from: {name} in step {number + 1}"
    allowed = f"a partition that is there then: {', '.join(live)}"
    if name in taken:
        return Unfit(
            f"partition {name!r} is taken twice",
            given=f"{given}; step {taken[name] + 1} has taken it",
            allowed=allowed,
            remedy="let the later step take a partition that the earlier one has made",
        )
    near = get_close_matches(name, list(live), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "correct forget.steps"
    return Unfit(f"there is no partition {name!r}", given=given, allowed=allowed, remedy=hint)


def _made_twice(name: str, number: int) -> Unfit:
    return Unfit(
        f"there is a partition {name!r} already",
        given=f"into: {name} in step {number + 1}",
        allowed=f"a name that no partition has then, and not {START}",
        remedy="give another name in forget.steps, or put both together with by: concat",
    )
