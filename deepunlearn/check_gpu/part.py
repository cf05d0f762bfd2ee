"""A part of the check, how it ended, and the folder that ended ones are kept in. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from deepunlearn.core.paths import write_atomically

State = Literal["ok", "failed", "not on this device", "not run"]
Figures = Mapping[str, str | float]  # column of its table -> what stands there
FOLDER = "parts"


@dataclass(frozen=True)
class Outcome:
    """How a part ended. said: a reason, or what it did; figures: what it measured, and the limits that this has."""

    state: State
    said: str = ""
    figures: Figures = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether it need not be tried again: a fault of the machine's (no memory, no disk) says nothing."""
        return self.state != "not run"


@dataclass(frozen=True)
class Part:
    """name: GROUP/..., where parts of a group have one table; lacks: why it cannot be on this device; "": it can."""

    name: str
    run: Callable[[], Outcome]
    lacks: str = ""

    @property
    def group(self) -> str:
        return self.name.partition("/")[0]


def judged(passed: bool, said: str, figures: Figures) -> Outcome:
    """Of a check that has a limit."""
    return Outcome("ok" if passed else "failed", said, figures)


class Kept:
    """Outcomes in a folder, a file each. made: on what they were made; others are as if they were not there."""

    def __init__(self, folder: Path, made: Mapping[str, Any]) -> None:
        self.folder, self.made = folder, dict(made)

    def get(self, part: Part) -> Outcome | None:
        """None where it was not done, was not settled, or was done on another device or by other code."""
        path = self._path(part)
        if not path.exists():
            return None
        read = json.loads(path.read_text(encoding="utf-8"))
        outcome = Outcome(**read["outcome"])
        return outcome if read["made"] == self.made and outcome.settled else None

    def put(self, part: Part, outcome: Outcome) -> None:
        content = {"name": part.name, "made": self.made, "outcome": asdict(outcome)}
        write_atomically(self._path(part), json.dumps(content, indent=1) + "\n")

    def _path(self, part: Part) -> Path:
        return self.folder / FOLDER / f"{part.name.replace('/', '-')}.json"
