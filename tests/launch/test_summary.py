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


FULL = "[Errno 28] No space left on device\n  remedy:  make room, or keep results elsewhere"
DIVERGED = "the logits are not finite\n  given:   3 of 90 samples\n  allowed: finite logits\n  remedy:  lower the rate"


def ended(planner: Planner, monkeypatch: pytest.MonkeyPatch, notes: list[dict[str, str]]) -> list[str]:
    """The summary where the first tasks have these notes, but for its first line and what follows the reasons."""
    kept = dict(zip(planner.tasks, notes, strict=False))
    monkeypatch.setattr(planner, "failure", kept.get)
    monkeypatch.setattr(planner, "state", lambda task: _state(kept.get(task)))
    lines = summary(planner, Path("run")).splitlines()
    return lines[1 : next(number for number, line in enumerate(lines) if line.startswith("hyper-parameters"))]


def _state(note: dict[str, str] | None) -> str:
    return "done" if note is None else "to do" if note["kind"] == "infrastructure" else note["kind"]


def not_run(message: str, error: str = "OSError") -> dict[str, str]:
    return {"kind": "infrastructure", "error": error, "message": message}


def failed(message: str) -> dict[str, str]:
    return {"kind": "failed", "error": "Diverged", "message": message}


def test_a_remedy_of_many_tasks_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planner = planned(tmp_path)
    first, second, third = (task.label(planner.sweep) for task in planner.tasks[:3])
    lines = ended(planner, monkeypatch, [not_run(FULL), not_run(FULL), not_run(f"needs {first}", "InputMissing")])
    assert lines == [
        f"  not run: {first}: OSError: [Errno 28] No space left on device [1]",
        f"  not run: {second}: OSError: [Errno 28] No space left on device [1]",
        f"  not run: {third}: InputMissing: needs {first}",
        "  [1] remedy: make room, or keep results elsewhere",
    ]


def test_a_failure_keeps_all_of_its_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks with one remedy may have been given different things."""
    planner = planned(tmp_path)
    two = "measure a: KeyError: 'x'\nmeasure b: ValueError: no\n  remedy:  one\n  or another"
    first, second, third, fourth = (task.label(planner.sweep) for task in planner.tasks[:4])
    notes = [failed(DIVERGED), failed(DIVERGED.replace("3 of", "4 of")), failed(two), failed("of one line")]
    assert ended(planner, monkeypatch, notes) == [
        f"  failed: {first}: the logits are not finite [1] [2]",
        f"  failed: {second}: the logits are not finite [3] [2]",
        f"  failed: {third}: measure a: KeyError: 'x' [4] [5]",
        f"  failed: {fourth}: of one line",
        "  [1] given:   3 of 90 samples",
        "      allowed: finite logits",
        "  [2] remedy: lower the rate",
        "  [3] given:   4 of 90 samples",
        "      allowed: finite logits",
        "  [4] measure b: ValueError: no",
        "  [5] remedy: one",
        "        or another",
    ]


def test_a_list_of_reasons_that_is_cut_loses_no_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planner = planned(tmp_path)
    monkeypatch.setattr(module, "MOST_LINES", 2)
    other = not_run("too many open files\n  remedy:  raise the limit")
    lines = ended(planner, monkeypatch, [not_run(FULL), not_run(FULL), not_run(FULL), other])
    assert [line.split(": ")[-1] for line in lines] == [
        "[Errno 28] No space left on device [1]",
        "too many open files [2]",
        "  and 2 more; status lists them",
        "make room, or keep results elsewhere",
        "raise the limit",
    ]


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
