"""A finished small sweep that several test files look at, and the command line as a user has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import SMALL, Finished, sweep

pytest.register_assert_rewrite("deepunlearn.testing.contract")
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


def program(name: str) -> str:
    """The path of a program that scripts/debian_programs.sh installs; where nothing may be skipped it must be there."""
    found = shutil.which(name)
    if found is None and "DEEPUNLEARN_CI" not in os.environ:
        pytest.skip(f"{name} is not installed (scripts/debian_programs.sh)")
    assert found, f"{name} is not installed"
    return found


@pytest.fixture(scope="session")
def chromium() -> str:
    return program("chromium")


@pytest.fixture(scope="session")
def pdflatex() -> str:
    return program("pdflatex")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL server, one for each test process."""
    script = Path(__file__).parent.parent / "scripts" / "postgres_server.sh"
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # short, since a socket's path may not be long
    folder.chmod(0o755)
    port = 15432 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    done = subprocess.run([str(script), "up", str(folder), str(port)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield done.stdout.splitlines()[-1]
    subprocess.run([str(script), "down", str(folder)], check=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def witness_clock() -> Iterator[None]:
    """Time is what the network that notes whom it sees makes of it."""
    from tests.witness import CLOCK

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepunlearn.runtime.time", CLOCK)
        yield
