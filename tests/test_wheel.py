"""A wheel built from the tree works in a fresh environment, outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
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


@pytest.mark.slow
def test_the_wheel_runs_a_sweep_by_name_from_an_empty_folder(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT, folder=tmp_path)
    (wheel,) = tmp_path.glob("deepunlearn-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for path in [*(ROOT / "conf").rglob("*.yaml"), *(ROOT / "sweeps").glob("*.yaml")]:
        assert f"deepunlearn/{path.relative_to(ROOT)}" in names
    assert not [name for name in names if name.startswith(("tests/", "results/"))]

    run(sys.executable, "-m", "venv", tmp_path / "env", folder=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, folder=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    where = run(python, "-c", "import deepunlearn; print(deepunlearn.__file__)", folder=empty)
    assert str(tmp_path / "env") in where, "the installed package, not the checkout, is to be tested"
    small = ("arch=smallnet", "train.epochs=2", "seeds=1", "search.trials=2")
    assert "done in" in run(python, "-m", "deepunlearn.sweep", "sweep=demo", *small, folder=empty)
    assert "nothing to do" in run(python, "-m", "deepunlearn.sweep", "sweep=demo", *small, folder=empty)
    tables = run(python, "-m", "deepunlearn.tables", folder=empty)
    assert "| MSG " in tables and "| retrained " in tables
    assert (empty / "results" / "tables" / "digits-smallnet.tex").is_file()
