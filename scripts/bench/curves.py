"""Curves that were measured, in a file to commit: sittings go on from it, and the table needs nothing else."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from anytime import Curve

from deepunlearn.core.paths import write_atomically
from deepunlearn.core.provenance import commit, machine


@dataclass(frozen=True)
class Found:
    """Of one search of one method: its curve, the norm of default values on the same originals, and where it ran."""

    curve: Curve
    default: float
    made: str

    @classmethod
    def here(cls, curve: Curve, default: float) -> Found:
        return cls(curve, default, f"{machine()}, torch {torch.__version__}, commit {commit()}")


@dataclass(frozen=True)
class Curves:
    """path: the file; None: nothing is kept. What was measured is named by all that it depends on but the images."""

    path: Path | None
    _found: dict[tuple[str, ...], Found] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Curves:
        kept = cls(path)
        if path is not None and path.exists():
            for one in json.loads(path.read_text(encoding="utf-8")):
                curve = Curve(tuple(one["seconds"]), tuple(one["norms"]), one["total"])
                kept._found[tuple(one["of"])] = Found(curve, one["default"], one["made"])
        return kept

    def find(self, of: tuple[str, ...]) -> Found | None:
        return self._found.get(of)

    def add(self, of: tuple[str, ...], found: Found) -> None:
        """Whole or not at all: who is killed loses no earlier one. What another process has added meanwhile stays."""
        self._found[of] = found
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.path.parent):
            self._found.update(Curves.read(self.path)._found)
            lines = ",\n".join(json.dumps(one) for one in self._rows())
            write_atomically(self.path, f"[\n{lines}\n]\n")

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        for of, found in sorted(self._found.items()):
            curve = found.curve
            yield {
                "of": of, "seconds": curve.seconds, "norms": curve.norms, "total": curve.total,
                "default": found.default, "made": found.made,
            }  # fmt: skip


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else who asks is in here meanwhile; the folder itself is locked, so that no file of a lock is left."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
