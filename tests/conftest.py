"""A finished small sweep that several test files look at, and the command line as a user has it."""

from __future__ import annotations

import copy
import gc
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.commands import SMALL, Finished, sweep

pytest.register_assert_rewrite("deepunlearn.testing.contract")
os.environ["OMP_NUM_THREADS"] = "1"  # test processes run beside each other; threads that wait for cores cost tenfold
CI = "DEEPUNLEARN_CI" in os.environ
NO_METER = "the energy of this machine cannot be measured"
NO_IMAGES = "the images of docs/findings.md are not in datasets/cifar10-images"
MAY_BE_SKIPPED = (NO_METER, NO_IMAGES)  # what no installation can bring
LONGEST = (  # files whose tests take longest, which begin first: at the end processes would wait for them
    "test_kills.py",
    "launch/test_local.py",
    "test_bench.py",
    "methods/test_networks.py",
    "data/test_paper_cells.py",
    "methods/test_compiled.py",
    "test_adding.py",
    "search/test_study.py",
    "test_wheel.py",
)


def read(file: Any) -> str | bytes | None:
    """What a file holds; None where it cannot be read, which is told by whoever loads it."""
    if isinstance(file, str | Path):
        try:
            return Path(file).read_bytes()
        except OSError:
            return None
    text: str = file.read()
    file.seek(0)
    return text


def loaded_once(load: Callable[..., Any]) -> Callable[..., Any]:
    """`OmegaConf.load` that reads a text once: of conf/ Hydra loads some twenty files for each composition."""
    known: dict[str | bytes, Any] = {}

    def loaded(file: Any) -> Any:
        text = read(file)
        if text is None:
            return load(file)
        if text not in known:
            known[text] = load(file)
        return copy.deepcopy(known[text])

    return loaded


OmegaConf.load = staticmethod(loaded_once(OmegaConf.load))  # type: ignore[method-assign]
gc.disable()  # until all tests are collected: a million objects that stay are not looked through again and again


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the longest tests first, then those with any slow one, then the rest; within a file as it stands."""
    root = Path(__file__).parent
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> int:
        name = str(item.path.relative_to(root))
        return LONGEST.index(name) if name in LONGEST else len(LONGEST) + (item.path not in slow)

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """What is there now stays until the end, so that a collection, of which some tests ask for many, leaves it out."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where nothing may be skipped a test that is has failed, but for those that need what cannot be installed."""
    report = yield
    allowed = hasattr(report, "wasxfail") or any(one in str(report.longrepr) for one in MAY_BE_SKIPPED)
    if CI and report.skipped and not allowed:
        report.outcome, report.longrepr = "failed", f"skipped where nothing may be: {report.longrepr}"
    return report


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
    if found is None and not CI:
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
