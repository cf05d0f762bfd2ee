"""The benchmarks run, at tiny sizes on noise, and their tables are complete."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from deepunlearn.config import read_command
from tests.data.small_data import write_classes

ROOT = Path(__file__).parents[1]
RUN = ROOT / "scripts" / "bench" / "run.py"
ROWS = {"networks": 28, "layers": 36, "steps": 10, "trials": 15, "workers": 1, "startup": 3, "splits": 6}


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
def test_searches_are_compared_on_other_seeds(images: Path, tmp_path: Path) -> None:
    changed = "thrifty+pruner=median+look_samples=null"
    command = [sys.executable, str(RUN), "searches", "--quick", "--archs", "smallnet", "--data", str(images)]
    done = subprocess.run(
        [*command, "--searches", "paper", changed, "--to", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "searches.md").read_text()
    assert done.stdout.startswith("about ") and page in done.stdout
    header, _, *rows = [_cells(line) for line in page.splitlines() if line.startswith("|")]
    table = {(row["method"], row["search"]): row for row in (dict(zip(header, cells, strict=True)) for cells in rows)}
    assert [*table] == [(of, search) for of in ("ft", "all") for search in ("default values", "paper", changed)]
    paper, defaults = table["ft", "paper"], table["ft", "default values"]
    assert float(paper["ratio"]) == float(paper["of the baseline's"]) == 1
    assert float(paper["device seconds"]) > 0 == float(defaults["device seconds"])
    assert paper["ratio at 1/10"] == defaults["ratio"], "no trial is done by then, which leaves the default values"
    figure = (tmp_path / "searches.svg").read_text()
    assert "device seconds" in figure and "smallnet, ft" in figure


@pytest.mark.parametrize(
    ("idea", "field", "value"),
    [
        ("sampler=gp", "sampler", "gp"),
        ("pruner=median", "pruner", "median"),
        ("prune=false+pruner=median+look_samples=null", "prune", False),
        ("look_samples=null", "look_samples", None),
        ("shared=false", "shared", False),
        ("from_defaults=false", "from_defaults", False),
        ("stops_early=true", "stops_early", True),
    ],
)
def test_each_idea_of_a_thrifty_search_can_be_measured_by_itself(
    monkeypatch: pytest.MonkeyPatch, idea: str, field: str, value: object
) -> None:
    monkeypatch.syspath_prepend(str(RUN.parent))
    name, changes = importlib.import_module("searches").parted(f"thrifty+{idea}")
    search = read_command([f"search={name}", *changes, "method=ft", "dataset=digits"]).sweep.search
    assert name == "thrifty" and getattr(search, field) == value
    assert search.name == "thrifty" and search.trials == 24


@pytest.fixture
def anytime(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(RUN.parent))
    return importlib.import_module("anytime")


def test_the_score_in_hand_changes_when_a_better_trial_is_done(anytime: ModuleType) -> None:
    def trial(slot: int, seed: int, norm: float | None) -> object:
        return anytime.Trial(slot, seed, 10.0, norm)

    trials = [trial(0, 0, None), trial(1, 0, 0.5), trial(2, 0, 0.1), trial(0, 1, 0.7), trial(1, 1, 0.5)]
    found = anytime.bests(anytime.in_turns(trials))
    assert [(spent, one.slot, one.seed) for spent, one in found] == [(20.0, 0, 1), (30.0, 1, 0), (50.0, 2, 0)]
    curve = anytime.Curve((0.0, 20.0, 30.0, 50.0), (0.9, 0.8, 0.6, 0.7), 55.0)
    assert [curve.at(seconds) for seconds in (0, 19.9, 20, 49, 1000)] == [0.9, 0.9, 0.8, 0.6, 0.7]
    assert anytime.mean_curve([curve, anytime.Curve((0.0,), (0.4,), 5.0)], [0, 50]).tolist() == [
        [pytest.approx(0.65), 0.4, 0.9],
        [pytest.approx(0.55), 0.4, 0.7],
    ]


def test_intervals_are_student_s_and_repeats_do_not_count_as_methods(anytime: ModuleType) -> None:
    known = anytime.Interval.of([1.0, 2.0, 3.0, 4.0])
    half = 3.182446 * (5 / 3) ** 0.5 / 2  # the 97.5 % quantile of t with 3 degrees of freedom, from a printed table
    assert (known.mean, known.low, known.high) == pytest.approx((2.5, 2.5 - half, 2.5 + half), rel=1e-6)
    assert str(anytime.Interval.of([0.25])) == "0.250"
    base = {"ft": [1.0] * 4, "ga": [2.0] * 4}
    assert anytime.ratio([0.5, 2.0], [1.0, 1.0]).mean == pytest.approx(1.0), "halved and doubled cancel out"
    twice = {"ft": [0.5] * 4, "ga": [4.0] * 4}
    over = anytime.ratio_over_methods(twice, base)
    assert over.mean == pytest.approx(1.0)
    assert over.high == pytest.approx(2**12.7062, rel=1e-4), "one degree of freedom of two methods, not seven"


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
