"""What a task is: one piece of a sweep's work, and the stages in which they are done."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Literal, NamedTuple

from deepunlearn.core.forget import Role
from deepunlearn.core.schema import SweepConfig

Stage = Literal["confidence", "reference", "record", "search", "select", "evaluate", "measure"]
State = Literal["done", "to do", "failed", "skipped"]
STAGES: tuple[Stage, ...] = ("confidence", "reference", "record", "search", "select", "evaluate", "measure")
BY_ROUND: tuple[Stage, ...] = ("search", "select", "evaluate")  # what a round does after the one before


class Step(NamedTuple):
    """Tasks that do not need each other. round: of requests that arrive one after the other; 0: of all of them."""

    stage: Stage
    round: int


@dataclass(frozen=True)
class Task:
    """A piece of work that stands for itself: one model to train or watch, one study, one selection, one evaluation, or
    all further measures of one model.

    cell: its number in the sweep; method: a method's name, or original / retrained; seed: of the model or study.
    """

    stage: Stage
    cell: int
    method: str
    seed: int | None

    @classmethod
    def parse(cls, text: str) -> Task:
        """The task whose `str` is `text`."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def label(self, sweep: SweepConfig) -> str:
        seed = "" if self.seed is None else f" seed {self.seed}"
        return f"{sweep.cells[self.cell].name} {self.stage} {self.method}{seed}"


def role_of(task: Task) -> Role:
    """Which reference a task about one is about."""
    return "original" if task.method == "original" else "retrained"


def evaluation_of(task: Task) -> Task:
    """The evaluation of the model that a task measures."""
    return replace(task, stage="evaluate")
