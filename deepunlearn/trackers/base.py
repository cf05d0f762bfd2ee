"""What a tracker is told, and what it can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deepunlearn.core.identity import KEY_LENGTH

PROJECT = "deepunlearn"  # the experiment or project that runs are put into, unless the user's settings name one
Param = str | int | float | bool


@dataclass(frozen=True)
class TrackedRun:
    """One run of a tracker: an evaluated model, or the search for the hyper-parameters of a method in a cell.

    key: hash of what is stored, so that the same result is the same run, whoever tells it. curves: by name a value for
    each step (epoch or trial), in order. files: paths that are named and never copied.
    """

    key: str
    kind: Literal["evaluation", "search"]
    cell: str
    method: str
    seed: int | None
    params: Mapping[str, Param]
    scores: Mapping[str, float]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    files: Mapping[str, Path]

    @property
    def title(self) -> str:
        """Tells it from others, for people."""
        return f"{self.cell} {self.method} " + ("search" if self.seed is None else f"seed {self.seed}")

    @property
    def short(self) -> str:
        """16 hex digits of the key."""
        return self.key[:KEY_LENGTH]

    @property
    def facts(self) -> dict[str, Param]:
        """What a tracker's table of runs can be filtered by, params included."""
        seed = {} if self.seed is None else {"seed": self.seed}
        return {"kind": self.kind, "cell": self.cell, "method": self.method, **seed, **self.params}


class Tracker(ABC):
    """Writes runs somewhere; whatever it raises is told and ends nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def elsewhere(self) -> str:
        """Where it writes if that is not `folder`, because the user's settings say so; empty otherwise."""
        return ""

    @property
    def told_to(self) -> str:
        """What of the user's settings says whom a run is told to: `elsewhere`, and a project's name or the like."""
        return self.elsewhere

    @property
    @abstractmethod
    def view(self) -> str:
        """What to type to see the runs."""

    def prepare(self) -> None:  # noqa: B027  most have nothing to prepare
        """What one process has to do before several write beside each other."""

    @abstractmethod
    def begin(self, run: TrackedRun) -> str:
        """The name of a run that is about to be written for the first time; asked for once."""

    @abstractmethod
    def write(self, run: TrackedRun, name: str) -> None:
        """Write a run, or write it anew where it was written before; returns when all of it is written."""
