"""The status of a sweep."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from deepunlearn import status
from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.progress import Progress
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import prepared, write_sweep
from deepunlearn.status import ResultsStatus, RunStatus, StageStatus
from tests.commands import Finished, run_command
from tests.launch.standin import StandIn
from tests.launch.sweeps import WORK


@pytest.mark.slow
def test_status_goes_on_without_slurms_answer(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = (finished.folder / "results" / "runs").iterdir()
    (run / "jobs").mkdir()
    (run / "jobs" / "7.json").write_text('{"date": "", "stage": "search", "job": "7", "tasks": []}')
    cluster = StandIn(tmp_path / "cluster")
    cluster.write("silent", "")
    monkeypatch.setenv("PATH", f"{cluster.bin}:{os.environ['PATH']}")
    status = run_command("status", finished.folder)
    assert status.returncode == 0 and "SLURM does not answer: no controller" in status.stdout
    assert re.search(r"digits/smallnet search +3 +0 +0 +0 +0 +\d+ s +-$", status.stdout, re.MULTILINE)


@pytest.mark.slow
def test_status_for_programs_says_what_it_says_to_people(
    finished_once: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished_once.folder)
    assert status.main(["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema_version"], told["results"], told["finished"]) == (1, "results", True)
    (run,) = told["runs"]
    assert run["command"].startswith("python -m deepunlearn.sweep arch=smallnet") and run["problem"] is None
    stages = {one["stage"]: one for one in run["stages"]}
    assert (stages["evaluate"]["done"], stages["evaluate"]["to_do"], stages["evaluate"]["failed"]) == (10, 0, 0)
    assert stages["search"]["median_seconds"] > 0 and stages["search"]["left_seconds"] == 0
    assert run["failures"] == run["jobs"] == run["studies"] == run["drivers"] == []
    assert status.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{run['name']}: {run['command']}" and len(lines) == 2 + len(stages)
    assert ResultsStatus.model_validate(told).runs[0].finished


def test_a_stage_that_nothing_is_known_of_has_no_times() -> None:
    counts = {"done": 0, "running": 1, "failed": 0, "skipped": 0, "to_do": 12}
    unknown = StageStatus(cell="c", stage="search", **counts, median_seconds=None, left_seconds=None)
    assert unknown.line(3).split() == ["c", "search", "0", "1", "0", "0", "12", "-", "-"]
    known = unknown.model_copy(update={"median_seconds": 2.0, "left_seconds": 600.0})
    assert known.line(3).endswith("   2 s 10 min")


def half_way() -> RunStatus:
    """A sweep of two cells, one of them with a long name."""
    nothing = {"running": 0, "failed": 0, "skipped": 0, "to_do": 0, "median_seconds": 2.0, "left_seconds": 0.0}
    stages = [
        StageStatus(cell=cell, stage=stage, **{**nothing, **counts})
        for cell in ("digits/smallnet", "cifar10/resnet18/random(ratio=0.05)")
        for stage, counts in {
            "reference": {"done": 4},
            "search": {"done": 1, "running": 2, "to_do": 12, "left_seconds": 600.0},
            "evaluate": {"done": 0, "to_do": 30, "median_seconds": None},
        }.items()
    ]
    return RunStatus(name="sweep-1", command="sweep", finished=False, stages=tuple(stages))


@pytest.mark.parametrize("columns", [40, 80, 102])
def test_in_a_terminal_narrower_than_its_table_a_sweep_is_told_in_words(columns: int) -> None:
    head, *lines = half_way().lines(columns)
    assert head == "sweep-1: sweep" and max(map(len, lines)) <= columns
    assert lines[:2] == ["  digits/smallnet", "    reference  4 done, median 2 s"]
    told = re.sub(r",\n +", ", ", "\n".join(lines))
    assert "search     1 done, 2 running, 12 to do, median 2 s, left 10 min\n    evaluate   30 to do\n" in told
    assert not re.search(r"\b0\b|-$", told.replace("ratio=0.05", ""), re.MULTILINE), "what is zero is left out"


def test_a_table_that_fits_stays_one() -> None:
    table = [*half_way().lines()]
    assert max(map(len, table)) == 103 and [*half_way().lines(103)] == [*half_way().lines(120)] == table
    assert table[1].split() == ["cell", "stage", *" ".join(status.STATES).split(), "median", "left"]


def test_only_a_terminal_has_a_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(Planner(read_command([*WORK, f"results={tmp_path}"]).sweep, Progress(quiet=True)), "sweep", [])
    monkeypatch.setenv("COLUMNS", "40")
    assert status.main([f"results={tmp_path}"]) == 0
    piped = capsys.readouterr().out
    assert re.search("cell +stage +done", piped)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert status.main([f"results={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "stage" not in shown and max(map(len, shown.splitlines()[1:])) <= 40


@pytest.mark.parametrize("words", [["--wach"], ["result=x"], ["results=a", "results=b"], ["--watch", "--json"]])
def test_wrong_words_are_refused_before_anything_is_read(words: list[str]) -> None:
    with pytest.raises(ConfigError):
        status.read(words)


def test_a_run_that_cannot_be_read_hides_no_other_and_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "runs" / "old").mkdir(parents=True)
    (tmp_path / "runs" / "old" / "sweep.json").write_text("{}")
    told = status.read_status(status.Results(tmp_path))
    assert told.finished and str(told.runs[0].problem).startswith("the configuration of a run")
    assert next(told.runs[0].lines()).startswith("old: the configuration of a run")


def test_a_run_whose_data_are_not_here_hides_no_other(tmp_path: Path) -> None:
    here = Planner(read_command([*WORK, f"results={tmp_path}"]).sweep, Progress(quiet=True))
    prepared(here, "here", [])
    gone = read_command([*WORK, "dataset=mnist", f"dataset.root={tmp_path / 'gone'}", f"results={tmp_path}"]).sweep
    write_sweep(Planner(gone, Progress(quiet=True)), tmp_path / "runs" / "elsewhere")
    elsewhere, known = status.read_status(here.results).runs
    assert str(tmp_path / "gone") in str(elsewhere.problem) and elsewhere.finished
    assert known.problem is None and known.stages and not known.finished


def test_a_run_is_shown_once_all_of_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Planner(read_command([*WORK, f"results={tmp_path}"]).sweep, Progress(quiet=True))
    with monkeypatch.context() as killed, pytest.raises(ZeroDivisionError):
        killed.setattr(planner, "expected_rows", lambda: 1 // 0)
        prepared(planner, "sweep", [])
    with pytest.raises(ConfigError, match="no sweep has been run"):
        status.read_status(planner.results)
    folder = prepared(planner, "sweep", [])
    (folder / "command.txt").unlink()  # of an earlier version, killed before it wrote that
    (folder / "driver-ended-1.json").symlink_to("gone")  # as if it had ended between the look and the reading
    (told,) = status.read_status(planner.results).runs
    assert (told.command, told.drivers, told.finished) == ("", (), False)


def test_one_look_does_not_watch() -> None:
    with pytest.raises(ConfigError, match="--json is one look"):
        status.main(["--watch", "--json"])


def fields(model: type[BaseModel]) -> set[str]:
    """The names of all fields, also of the models within."""
    inner = [one for field in model.model_fields.values() for one in get_args(field.annotation)]
    models = [one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)]
    return {*model.model_fields, *(name for one in models for name in fields(one))}


def test_the_guide_says_what_each_field_is() -> None:
    guide = (Path(__file__).parent.parent / "docs" / "results.md").read_text(encoding="utf-8")
    section = guide.partition("## A sweep's status for programs")[2].partition("\n## ")[0]
    assert {"runs", "stages", "pid", "trials_done"} <= fields(ResultsStatus) > fields(RunStatus)
    assert not {name for name in fields(ResultsStatus) if f"`{name}`" not in section}
