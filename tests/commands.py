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


def run_command(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m deepunlearn.NAME ARGUMENTS` in `folder`, a process of its own.

    It is forked from a server that has imported the libraries: a new interpreter takes four seconds of a core for that.
    """
    command = [f"deepunlearn.{name}", *arguments]
    with tempfile.TemporaryDirectory() as said:
        out, err = Path(said, "out"), Path(said, "err")
        process = SERVER.Process(target=run_module, args=(command, folder, dict(os.environ), out, err))
        process.start()
        process.join(timeout=600)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, 600, out.read_bytes(), err.read_bytes())
        return subprocess.CompletedProcess(command, process.exitcode, out.read_text(), err.read_text())


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


def until(condition: Callable[[], Result], seconds: float = 120.0) -> Result:
    """What `condition` gives once that is true; files that vanish while it looks are looked for again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(FileNotFoundError):
            if value := condition():
                return value
        time.sleep(0.1)
    raise AssertionError("it did not come about")


def refusal(*arguments: str) -> ConfigError:
    """The error with which a command is refused; it says what was given, what is allowed and what to do."""
    with pytest.raises(ConfigError) as caught:
        read_command(arguments)
    assert caught.value.allowed and caught.value.remedy and caught.value.given is not None
    return caught.value
