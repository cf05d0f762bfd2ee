"""Running the commands as a user does: in a process of their own, in a folder of their own."""

from __future__ import annotations

import contextlib
import hashlib
import io
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from deepunlearn.cli import run_main
from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.sweep import main
from tests.forked import run_module

Result = TypeVar("Result")
LIMIT = 900.0  # seconds to wait for what always comes: a machine with other work on it may be ten times as slow
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["pytest", "deepunlearn.launch.worker", "deepunlearn.analysis.tables", "torchvision", "timm", "matplotlib.pyplot"]
)
SMALL = (
    "arch=smallnet",
    "method=ft,ct,msg",
    "train.epochs=2",
    "seeds=2",
    "search=quick",
    "search.trials=3",
    "dataset.limit=600",
    "runtime.threads=1",
)


@dataclass(frozen=True)
class Finished:
    folder: Path
    stdout: str
    stderr: str

    @property
    def store(self) -> Path:
        return self.folder / "results" / "store"


class Running:
    """`python -m deepunlearn.NAME ARGUMENTS` in `folder`, a process that goes on.

    It is forked from a server that has imported the libraries: a new interpreter takes four seconds of a core for that.
    """

    def __init__(self, name: str, folder: Path, *arguments: str) -> None:
        self.command = [f"deepunlearn.{name}", *arguments]
        self._said = tempfile.TemporaryDirectory()
        self._out, self._err = Path(self._said.name, "out"), Path(self._said.name, "err")
        arguments_of_it = (self.command, folder, dict(os.environ), self._out, self._err)
        self._process = SERVER.Process(target=run_module, args=arguments_of_it)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def lives(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """With signal 9; returns when it is gone."""
        self._process.kill()
        self._process.join()

    def terminate(self) -> None:
        self._process.terminate()
        self._process.join()

    def end(self, seconds: float = LIMIT) -> subprocess.CompletedProcess[str]:
        """Wait for its end; what it has said. One that does not end in time is killed."""
        self._process.join(timeout=seconds)
        if self._process.exitcode is None:
            self.kill()
            raise subprocess.TimeoutExpired(self.command, seconds, self._out.read_bytes(), self._err.read_bytes())
        return subprocess.CompletedProcess(
            self.command, self._process.exitcode, self._out.read_text(), self._err.read_text()
        )


def run_command(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a command said, once it has ended."""
    return Running(name, folder, *arguments).end()


def sweep(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command("sweep", folder, *arguments)


def called(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What `sweep` gives, without the second that a new process takes to import everything."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), redirect_stdout(out), redirect_stderr(err):
        code = run_main(main, arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def tree(root: Path) -> dict[str, str]:
    """File -> sha256 of its content, below `root`."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def until(condition: Callable[[], Result], seconds: float = LIMIT, every: float = 0.1) -> Result:
    """What `condition` gives once that is true; files that vanish while it looks are looked for again.

    Each look at a folder that a process works on goes through here: drafts and claims in it come and go.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(FileNotFoundError):
            if value := condition():
                return value
        time.sleep(every)
    raise AssertionError("it did not come about")


def refusal(*arguments: str) -> ConfigError:
    """The error with which a command is refused; it says what was given, what is allowed and what to do."""
    with pytest.raises(ConfigError) as caught:
        read_command(arguments)
    assert caught.value.allowed and caught.value.remedy and caught.value.given is not None
    return caught.value
