"""Sweeps that a device is checked by, run as the command runs them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deepunlearn.check_gpu import sweeps
from deepunlearn.check_gpu.where import Where
from tests.commands import run_command

HERE = Where("cpu")


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps in processes that need not import everything."""

    def sweep(where: Where, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
        folder.mkdir(parents=True, exist_ok=True)
        return run_command("sweep", folder, f"runtime.device={where.device}", *options)

    monkeypatch.setattr(sweeps, "sweep", sweep)


@pytest.mark.slow
def test_too_little_memory_is_noted_and_the_sweep_goes_on(tmp_path: Path, quickly: None) -> None:
    outcome = sweeps.out_of_memory(HERE, tmp_path)
    assert outcome.state == "ok", outcome
    assert outcome.figures["noted"] == "huge: infrastructure" and outcome.figures["rows"] == "ft, original, retrained"
    assert "allocate" in outcome.said


def stand_in(*found: dict[str, Any]) -> Any:
    """A sweep that leaves these rows, one set for each call; the first has one worker, the second two."""
    left, workers = iter(found), iter((1, 2))

    def sweep(where: Where, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
        assert f"launcher.workers={next(workers)}" in options and "search=quick" in options
        for name, row in next(left).items():
            path = folder / "results" / name / "row.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(row))
        return subprocess.CompletedProcess(options, 0, "", "")

    return sweep


ROW = {"method": "ft", "RA": 0.5, "seconds": 1.0, "params": {"lr": 0.1}}


@pytest.mark.parametrize(
    ("other", "state"),
    [
        ({"a": {**ROW, "seconds": 9.0}}, "ok"),
        ({"a": {**ROW, "RA": 0.505}}, "ok"),
        ({"a": {**ROW, "RA": 0.52}}, "failed"),
        ({"a": {**ROW, "params": {"lr": 0.2}}}, "failed"),
        ({"a": {**ROW, "TA": 0.5}}, "failed"),
        ({"b": ROW}, "failed"),
        ({"a": ROW, "b": ROW}, "failed"),
        ({}, "failed"),
    ],
)
def test_rows_that_differ_are_found(
    other: dict[str, Any], state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "sweep", stand_in({"a": ROW}, other))
    assert sweeps.two_workers(HERE, tmp_path).state == state


def test_a_sweep_that_does_not_end_well_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(where: Where, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(options, 2, "", "error: no such thing")

    monkeypatch.setattr(sweeps, "sweep", broken)
    outcome = sweeps.two_workers(HERE, tmp_path)
    assert outcome.state == "failed" and "ended with 2" in outcome.said and "no such thing" in outcome.said
