"""What a sweep says at its end."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from deepunlearn.launch import summary as module
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.summary import FILE, SCORES, summary
from tests.commands import Finished
from tests.launch.test_tasks import planned


def put_rows(planner: Planner, monkeypatch: pytest.MonkeyPatch, rows: dict[tuple[str, int], dict[str, object]]) -> None:
    """As if these rows of methods and seeds were stored."""
    monkeypatch.setattr(planner, "row", lambda task: rows.get((task.method, task.seed)))


def test_scores_are_means_over_seeds_and_what_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = planned(tmp_path)
    put_rows(
        planner,
        monkeypatch,
        {
            ("ft", 0): {"RetDev": 0.1, "Indisc": 0.9, "RTE": None},
            ("ft", 1): {"RetDev": 0.3, "Indisc": 1.0, "RTE": None},
            ("ga", 1): {"RetDev": 2.0, "Indisc": 0.5, "RTE": 4.0},
            ("original", 0): {"RetDev": 9.0, "Indisc": 9.0, "RTE": 9.0},
        },
    )
    lines = summary(planner, tmp_path / "runs" / "sweep-1").splitlines()
    assert lines[0] == f"sweep-1: {len(planner.tasks)} to do"
    assert lines[1].split() == ["means", "over", "seeds", *SCORES]
    assert lines[2].split("  ")[1] == "digits/smallnet ft" and lines[2].endswith("2 seeds")
    assert "0.200 ± 0.141" in lines[2] and "0.950 ± 0.071" in lines[2] and "n/a" in lines[2]
    assert lines[3].split()[-5:] == ["2.000", "0.500", "4.000", "1", "seed"]
    assert "original" not in "".join(lines) and lines[-1] == f"tables: python -m deepunlearn.tables results={tmp_path}"


def test_a_long_list_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planner = planned(tmp_path)
    put_rows(planner, monkeypatch, {(name, 0): dict.fromkeys(SCORES, 1.0) for name in ("ft", "ga")})
    monkeypatch.setattr(module, "MOST_LINES", 2)
    assert "  and 1 more; tables show them" in summary(planner, tmp_path / "run").splitlines()


@pytest.mark.slow
def test_a_sweep_ends_with_its_summary_which_is_kept_for_a_mail(finished_once: Finished) -> None:
    (run,) = (finished_once.folder / "results" / "runs").iterdir()
    text = (run / FILE).read_text(encoding="utf-8")
    assert finished_once.stdout.endswith(text) and text.startswith(f"{run.name}: ")
    rows = [json.loads(path.read_text()) for path in finished_once.store.rglob("row.json")]
    for method in ("ft", "ct", "msg"):
        own = [row["RetDev"] for row in rows if row["method"] == method]
        (line,) = (line for line in text.splitlines() if line.startswith(f"  digits/smallnet {method} "))
        assert f"{statistics.mean(own):.3f} ± {statistics.stdev(own):.3f}" in line
    assert len(text.splitlines()) < 30 and max(map(len, text.splitlines())) <= 120
