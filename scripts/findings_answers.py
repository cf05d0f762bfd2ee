"""What an answer to a question of docs/findings.md is, and how those of two cells are put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from findings_cells import CELLS, CIFAR, DEFAULTS, NOT_RUN, Cell, Findings

from deepunlearn.analysis.inference import mean_interval

AGREES, CONTRADICTS, UNDECIDED = "agrees", "contradicts", "not decided"

Floats = npt.NDArray[np.float64]


class Answer(NamedTuple):
    """told: what it rests on, a line for each cell or pair."""

    verdict: str
    told: tuple[str, ...]


Ask = Callable[[Findings], Answer]
AskCell = Callable[[Cell, Cell | None], tuple[str, str]]  # searched and default values -> verdict, what it rests on


class Interval(NamedTuple):
    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> Interval | None:
        """Of a mean, Student's t; None below 5 values."""
        ends = mean_interval(values)
        return None if ends is None else cls(float(values.mean()), *ends)

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def judged(answers: Sequence[str], *, one_contradicts: bool = False) -> str:
    """Of answers that must all agree; where some are missing the rest decides nothing but a contradiction in one."""
    if set(answers) == {NOT_RUN}:
        return NOT_RUN
    contradict = (any if one_contradicts else all)(one == CONTRADICTS for one in answers)
    return CONTRADICTS if contradict else AGREES if all(one == AGREES for one in answers) else UNDECIDED


def in_each_cell(ask: AskCell, *, one_contradicts: bool = False) -> Ask:
    """Asks both cells; one_contradicts: a contradiction in one of them is one."""

    def answer(found: Findings) -> Answer:
        asked = {name: _asked(found, name, ask) for name in CELLS}
        told = tuple(f"{name}: {words}" for name, (_, words) in asked.items())
        return Answer(judged([one for one, _ in asked.values()], one_contradicts=one_contradicts), told)

    return answer


def _asked(found: Findings, name: str, ask: AskCell) -> tuple[str, str]:
    cell = found.cell(CELLS[name])
    return (NOT_RUN, NOT_RUN) if cell is None else ask(cell, found.cell(DEFAULTS) if name == CIFAR else None)


def on_cifar(verdict: str, *told: str) -> Answer:
    return Answer(verdict, tuple(f"{CIFAR}: {one}" for one in told or (NOT_RUN,)))
