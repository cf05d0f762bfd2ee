"""A wheel built from the tree works in a fresh environment, outside the checkout."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, folder: Path, limit: float = 900) -> str:
    """What `command` prints; its output is shown where it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def imported(source: str) -> set[str]:
    """Top-level names of the modules that a file imports at any place."""
    nodes = list(ast.walk(ast.parse(source)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    of = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in plain | of}


def imported_at_once(source: str) -> set[str]:
    """Those that importing the file imports: of statements outside of functions."""
    body = ast.parse(source).body
    return imported("\n".join(ast.unparse(one) for one in body if isinstance(one, ast.Import | ast.ImportFrom)))


def kept() -> list[str]:
    """The files of the project."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def name_of(requirement: str) -> str:
    return re.split(r"[\[>=<]", requirement)[0].lower()


@pytest.mark.slow
def test_what_the_package_imports_is_what_it_depends_on() -> None:
    """The development environment has more, so that a library that is not named would only fail at a user's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {name_of(line) for line in project["dependencies"]}
    extra = {
        name_of(line) for extra, lines in project["optional-dependencies"].items() if extra != "dev" for line in lines
    }
    names = set().union(*(imported(path.read_text()) for path in (ROOT / "deepunlearn").rglob("*.py")))
    brought = {"deepunlearn", "pytest", "IPython"}  # contracts alone need pytest, and say so; ipywidgets has IPython
    others = names - set(sys.stdlib_module_names) - brought
    owners = packages_distributions()
    used = {name: {owner.lower() for owner in owners.get(name, [name])} for name in others}
    assert not {name: of for name, of in used.items() if not of & (named | extra)}
    assert named - set().union(*used.values()) == {"tabulate", "cmaes"}, "pandas and Optuna import them"
    at_once = set().union(*(imported_at_once(path.read_text()) for path in (ROOT / "deepunlearn").rglob("*.py")))
    assert not {name for name in at_once & set(used) if not used[name] & named}, "an extra is imported where it is used"


def test_all_extras_are_in_the_one_that_has_all() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (line,) = extras["all"]
    assert set(re.findall(r"\w+", line)) - {"deepunlearn"} == set(extras) - {"all", "dev"}


@pytest.mark.slow
def test_the_source_distribution_holds_what_it_takes_to_build_test_and_read_it(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--sdist", "--outdir", tmp_path, ROOT, folder=tmp_path)
    (path,) = tmp_path.glob("deepunlearn-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = set(kept())  # committed results too: pages link to them
    assert wanted - names == set(), "files of the project are missing"
    assert names - wanted == {"PKG-INFO"}, "files are in it that are not the project's"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, folder=folder)
    (path,) = folder.glob("deepunlearn-*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_the_package_its_configuration_and_nothing_else(wheel: Path) -> None:
    names = {re.sub(r"^deepunlearn-[^/]*\.dist-info/", "info/", name) for name in zipfile.ZipFile(wheel).namelist()}
    own = {name for name in kept() if name.startswith("deepunlearn/")}
    composed = {f"deepunlearn/{name}" for name in kept() if name.startswith(("conf/", "sweeps/"))}
    told = {f"info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names == own | composed | told
    assert "deepunlearn/py.typed" in names, "type checkers of those who import it read its annotations"
    endings = {name.rpartition(".")[2] for name in own | composed}
    assert endings <= {"py", "typed", "yaml", "css", "js", "j2", "csv"}, "no data, results or pictures"


@pytest.mark.slow
def test_the_wheel_runs_a_sweep_by_name_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "env", folder=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel, folder=tmp_path)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))  # behind its own: five gigabytes less to copy
    empty = tmp_path / "empty"
    empty.mkdir()
    where = run(python, "-c", "import deepunlearn; print(deepunlearn.__file__)", folder=empty)
    assert str(tmp_path / "env") in where, "the installed package, not the checkout, is to be tested"
    small = ("arch=smallnet", "train.epochs=2", "seeds=1", "search.trials=2")
    assert "done in" in run(python, "-m", "deepunlearn.sweep", "sweep=demo", *small, folder=empty)
    assert "nothing to do" in run(python, "-m", "deepunlearn.sweep", "sweep=demo", *small, folder=empty)
    tables = run(python.with_name("deepunlearn"), "tables", folder=empty)
    assert "| MSG " in tables and "| retrained " in tables
    assert (empty / "results" / "tables" / "digits-smallnet.tex").is_file()
