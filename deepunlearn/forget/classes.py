"""Whole classes are forgotten, or a share of each (Golatkar et al. 2020; Tarun et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.forget import ForgetSet, Unseen
from deepunlearn.core.samples import Candidates, Data, Samples
from deepunlearn.forget.matching import matched_by_class, named

Share = Annotated[float, Field(gt=0, le=1)]
Class = Annotated[int, Field(strict=True)] | str


class ClassesForget(ForgetSet):
    """Numbers count the classes from 0 in the dataset's order; texts are their names."""

    enlarge: ClassVar[str] = "raise forget.share, or name more classes in forget.classes"
    reduce: ClassVar[str] = "lower forget.share, or name fewer classes in forget.classes"

    classes: Annotated[tuple[Class, ...], Field(min_length=1)]
    share: Share = 1.0  # of each class, rounded

    @property
    def title(self) -> str:
        return self.titled(())

    def titled(self, class_names: Sequence[str]) -> str:
        names = tuple(class_names)
        numbers = [one if isinstance(one, int) else names.index(one) if one in names else None for one in self.classes]
        known = sorted(one for one in numbers if one is not None)
        title = named(known, names) if len(known) == len(numbers) else named([*range(len(numbers))], self._spelled)
        return title if self.share == 1 else f"{100 * self.share:g} % of {title}"

    @property
    def _spelled(self) -> tuple[str, ...]:
        return tuple(map(str, self.classes))

    def choose(self, candidates: Candidates) -> npt.NDArray[np.integer[Any]]:
        of_each = [np.flatnonzero(candidates.labels == label) for label in self.numbers(candidates.class_names)]
        return np.concatenate([rows[: round(self.share * len(rows))] for rows in of_each])  # their order is random

    def unseen(self, candidates: Candidates, chosen: npt.NDArray[np.bool_], among: Samples) -> Unseen:
        return matched_by_class(candidates, chosen, among)

    def whole_classes(self, candidates: Candidates) -> Sequence[int]:
        return self.numbers(candidates.class_names) if self.share == 1 else ()

    def identity(self, data: Data) -> dict[str, Any]:
        return {"classes": self.numbers(data.class_names), "share": self.share}

    def numbers(self, class_names: tuple[str, ...]) -> list[int]:
        """The classes, sorted. Raises ConfigError for one that there is not, is given twice, or could be two."""
        numbers = [self._number(one, class_names) for one in self.classes]
        twice = sorted({class_names[number] for number in numbers if numbers.count(number) > 1})
        if twice:
            raise ConfigError(
                "forget.classes names a class twice",
                given=f"{', '.join(twice)} in {list(self.classes)}",
                allowed="each class once, by its number or by its name",
                remedy="leave the second one out",
            )
        return sorted(numbers)

    def _number(self, given: int | str, names: tuple[str, ...]) -> int:
        if isinstance(given, str):
            if given not in names:
                raise unknown("class", given, names)
            return names.index(given)
        if not 0 <= given < len(names):
            raise ConfigError(
                "forget.classes has a number that no class has",
                given=given,
                allowed=f"0 to {len(names) - 1}, or names: {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}",
                remedy="numbers count the classes from 0, in this order",
            )
        if str(given) in names and names.index(str(given)) != given:
            raise ConfigError(
                "forget.classes has a number that may mean two classes",
                given=f"{given}: class number {given} is named {names[given]!r}, and another is named '{given}'",
                allowed="names, where names are numbers in another order",
                remedy=f"give 'forget.classes=[\"{names[given]}\"]' or 'forget.classes=[\"{given}\"]', with the quotes",
            )
        return given
