"""The folder of a sweep command: its configuration, the rows expected of it, who is running it, its winners."""

from __future__ import annotations

import json
import os
import shlex
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from deepunlearn.cells import hash_of
from deepunlearn.core.errors import StoreError
from deepunlearn.core.measure_config import FOR_PEOPLE
from deepunlearn.core.paths import write_atomically
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.store import now, process_alive
from deepunlearn.launch.plan import Planner

COMMAND, SWEEP = "command.txt", "sweep.json"
# what tells no two sweeps apart
HOW: dict[str, Any] = {"launcher": True, "runtime": True, "search": {"storage", "together"}, "tracker": True}


def folder_of(planner: Planner, name: str) -> Path:
    """The folder of a sweep: commands that differ only in where and how they run share it."""
    return planner.results.runs / f"{name}-{hash_of_sweep(planner.sweep)}"


def hash_of_sweep(sweep: SweepConfig) -> str:
    """Tells sweeps apart by what they compute."""
    measures: Any = {"__all__": {*FOR_PEOPLE}} if sweep.measures else True
    given = {"files": {"__all__": {"path"}}} if sweep.cells[0].given else True
    exclude = {**HOW, "measures": measures, "cells": {"__all__": {"given": given}}}
    return hash_of(sweep.model_dump(mode="json", exclude=exclude))


def prepared(planner: Planner, name: str, arguments: Sequence[str]) -> Path:
    """That folder, with command, expected rows and, as the last file, the configuration: with that it is a run."""
    folder = folder_of(planner, name)
    write_atomically(folder / COMMAND, f"python -m deepunlearn.{planner.command} {shlex.join(arguments)}\n")
    write_atomically(folder / "expected.json", json.dumps(planner.expected_rows(), indent=1) + "\n")
    write_sweep(planner, folder)
    return folder


def write_sweep(planner: Planner, folder: Path) -> Path:
    """The configuration, as a file in `folder` that `load_sweep` reads."""
    file = folder / SWEEP
    write_atomically(file, planner.sweep.model_dump_json(indent=1) + "\n")
    return file


def command_of(folder: Path) -> str:
    """The command that a run is of; "" where an earlier version was killed before it wrote that."""
    file = folder / COMMAND
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


@contextmanager
def running(planner: Planner, name: str, arguments: Sequence[str]) -> Iterator[Path]:
    """The folder of this run, which holds its configuration and expected rows, and says who is at it meanwhile."""
    folder = prepared(planner, name, arguments)
    marker = folder / f"driver-{socket.gethostname()}-{os.getpid()}.json"
    write_atomically(marker, json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": now()}) + "\n")
    try:
        yield folder
    finally:
        marker.unlink()


def write_winners(planner: Planner, path: Path) -> None:
    """The hyper-parameters of every cell and method that are known, as a file that `hparams=` takes back."""
    known = {
        f"{planner.sweep.cells[cell].name}/{name}": dict(sorted(params.items()))
        for cell in range(len(planner.keys))
        for name in planner.methods
        if (params := planner.params(cell, name)) is not None
    }
    if known:
        write_atomically(path, OmegaConf.to_yaml(OmegaConf.create(known)))


def load_sweep(path: Path) -> SweepConfig:
    """The configuration that `write_sweep` wrote. Raises StoreError where it cannot be read."""
    try:
        return SweepConfig.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the configuration of a run, {path}, cannot be read",
            given=str(error).splitlines()[0][:200],
            allowed="the file as this version writes it",
            remedy=f"run the sweep's command again, which writes it anew, or move {path.parent} away",
        ) from error


class Driver(NamedTuple):
    """A process that a sweep's command runs in. gone: it died on this machine, and its command goes on if run again."""

    since: str
    pid: int
    host: str
    gone: bool

    @property
    def line(self) -> str:
        gone = " (gone: run its command again to go on)" if self.gone else ""
        return f"running since {self.since}: process {self.pid} on {self.host}{gone}"


def drivers(folder: Path) -> Iterator[Driver]:
    """Who is running this sweep now."""
    for marker in sorted(folder.glob("driver-*.json")):
        try:
            driver = json.loads(marker.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue  # it has ended meanwhile
        here = driver["host"] == socket.gethostname()
        gone = here and not process_alive(driver["pid"])
        yield Driver(driver["since"], driver["pid"], driver["host"], gone)
