"""What a process that is forked for a test runs. It imports nothing that a new interpreter would not have."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path


def run_module(command: list[str], folder: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    """What the interpreter does with `-m COMMAND` in `folder`, its output in files."""
    for stream, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.environ.clear()
    os.environ.update(environment, OMP_NUM_THREADS="1")
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
