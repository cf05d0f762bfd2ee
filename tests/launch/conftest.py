"""What a sweep leaves that one process did, for comparison with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import sweep
from tests.launch.sweeps import WORK


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep done by one process of this machine."""
    folder = tmp_path_factory.mktemp("alone")
    done = sweep(folder, *WORK)
    assert done.returncode == 0, done.stderr
    return folder
