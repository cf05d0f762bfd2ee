"""examples/plugin, installed as its reader would, and used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "plugin"


def run(*command: str, folder: Path, installed: Path) -> str:
    """What a module prints with the package installed."""
    path = os.pathsep.join([str(installed), str(EXAMPLE.parent.parent)])
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_package_installs_and_every_command_knows_its_method_and_measure(tmp_path: Path) -> None:
    source = tmp_path / "plugin"
    for path in (path for path in EXAMPLE.rglob("*") if path.suffix in {".py", ".yaml", ".toml", ".md"}):
        (source / path.relative_to(EXAMPLE)).parent.mkdir(parents=True, exist_ok=True)
        (source / path.relative_to(EXAMPLE)).write_bytes(path.read_bytes())
    installed = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", installed, source],
        check=True, timeout=300,
    )  # fmt: skip
    assert (installed / "bounded_ascent" / "bounded.yaml").is_file()
    sweep = ("dataset=digits", "arch=smallnet", "method=ga,bounded", "search=none", "seeds=1", "train.epochs=2")
    strong = ("method.params.lr=0.1", "method.params.batch_size=64", "dataset.limit=600")
    printed = run("deepunlearn.sweep", *sweep, *strong, folder=tmp_path, installed=installed)
    assert "done in" in printed
    run("deepunlearn.tables", "partial=true", folder=tmp_path, installed=installed)
    (table,) = (tmp_path / "results" / "tables").glob("digits-smallnet.csv")
    assert {"bounded GA", "GA"} <= set(pd.read_csv(table)["method_title"])
    assert "F_known" in table.read_text()
    assert "passed" in run("deepunlearn.methods", "bounded", "--check", folder=tmp_path, installed=installed)
    assert "passed" in run(
        "deepunlearn.list", "measure", "above_chance", "--check", folder=tmp_path, installed=installed
    )
