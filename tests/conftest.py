"""A finished small sweep that several test files look at, and the command line as a user has it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.commands import SMALL, Finished, sweep

os.environ["OMP_NUM_THREADS"] = "1"  # test processes run beside each other; threads that wait for cores cost tenfold


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    done = sweep(folder, *SMALL)
    assert done.returncode == 0, done.stderr
    return Finished(folder, done.stdout, done.stderr)


@pytest.fixture
def finished(finished_once: Finished, tmp_path: Path) -> Finished:
    """One's own copy of a finished sweep."""
    folder = tmp_path / "copy"
    shutil.copytree(finished_once.folder, folder)
    return Finished(folder, finished_once.stdout, finished_once.stderr)
