"""The benchmarks run, at tiny sizes on noise, and their tables are complete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.small_data import write_classes

ROOT = Path(__file__).parents[1]
RUN = ROOT / "scripts" / "bench" / "run.py"
ROWS = {"networks": 28, "layers": 36, "steps": 10, "trials": 15, "workers": 1, "startup": 3, "splits": 6, "searches": 6}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    counts = {f"{part}/{name}": count for part, count in (("train", 16), ("test", 4)) for name in "abcdefghij"}
    write_classes(folder, counts, suffix=".jpg", size=32)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_each_benchmark_fills_its_table(name: str, images: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(RUN), name, "--quick", "--data", str(images), "--to", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / f"{name}.md").read_text()
    assert page in done.stdout
    assert f"scripts/bench/run.py {name} --quick" in page and "commit" in page and "torch" in page
    header, _, *rows = [_cells(line) for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == ROWS[name]
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        assert cells["measure"] and cells["A"] and cells["B"]
        assert float(cells["A / B"]) >= 0 and int(cells["repeats"]) > 0
        assert bool(cells["goal"]) == (cells["met"] in ("yes", "no"))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.slow
def test_the_pace_of_the_analysis_is_measured_on_rows_that_it_can_read() -> None:
    script = ROOT / "scripts" / "bench_analysis.py"
    done = subprocess.run(
        [sys.executable, str(script), "--repeats", "1", "--cells", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [_cells(line)[0] for line in done.stdout.splitlines()[-2:]] == ["tables", "report"]
