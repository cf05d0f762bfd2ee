"""What a tracker is told of a sweep, how often, and what happens where it fails."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepunlearn.config import read_command
from deepunlearn.core.claims import Claims
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import folder_of
from deepunlearn.launch.tracking import IN_A_ROW, Tracking, trial_curves
from deepunlearn.trackers.base import TrackedRun, Tracker
from deepunlearn.trackers.mlflow import EXPERIMENT, UNLESS_SET, URI
from tests.commands import called
from tests.trackers.made import EVALUATION, MEASURED, SEARCH

HEADER = "seed,slot,state,reason,retain,forget,val,mia,seconds,params,generation\n"


class Listed(Tracker):
    """Keeps what it is told, and who was at work meanwhile."""

    told: list[tuple[str, TrackedRun]]
    begun: list[str]
    at_work: set[str]
    fails = False
    place = ""

    def __init__(self, folder: Path = Path("nowhere")) -> None:
        super().__init__(folder)
        self.told, self.begun, self.at_work = [], [], set()

    @property
    def elsewhere(self) -> str:
        return self.place

    @property
    def view(self) -> str:
        return "a list"

    def begin(self, run: TrackedRun) -> str:
        self.begun.append(run.short)
        return f"{len(self.begun)}"

    def write(self, run: TrackedRun, name: str) -> None:
        if self.fails:
            raise ConnectionError("the server\nis gone")
        self.at_work |= {frame.function for frame in inspect.stack()}
        self.told.append((name, run))


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Listed:
    tracker = Listed()
    monkeypatch.setattr("deepunlearn.launch.tracking.open_tracker", lambda name, folder: tracker)
    return tracker


def tracking(folder: Path, said: list[str] | None = None) -> Tracking:
    """Of a sweep of which only the folder counts."""
    results = Results(folder)
    planner: Any = SimpleNamespace(
        sweep=SimpleNamespace(tracker="mlflow"), results=results, claims=Claims(results.work / "claims"), tasks=[]
    )
    progress: Any = SimpleNamespace(say=(said if said is not None else []).append)
    return Tracking(planner, progress)


def test_a_run_is_told_once_and_again_only_where_it_says_more(listed: Listed, tmp_path: Path) -> None:
    for run in (EVALUATION, EVALUATION, SEARCH, MEASURED, MEASURED):
        assert tracking(tmp_path)._write(run)
    assert listed.told == [("1", EVALUATION), ("2", SEARCH), ("1", MEASURED)]
    assert tracking(tmp_path)._write(replace(MEASURED, files={"row": Path("/moved")})) and len(listed.told) == 3


def test_scores_of_other_commands_stay(listed: Listed, tmp_path: Path) -> None:
    other = replace(EVALUATION, scores={**EVALUATION.scores, "MSE_R": 0.5})
    for run in (MEASURED, EVALUATION, other):
        assert tracking(tmp_path)._write(run)
    assert [run.scores for _, run in listed.told] == [MEASURED.scores, {**MEASURED.scores, "MSE_R": 0.5}]


def test_a_run_that_was_broken_off_goes_on_under_its_name(listed: Listed, tmp_path: Path) -> None:
    listed.fails = True
    with pytest.raises(ConnectionError):
        tracking(tmp_path)._write(EVALUATION)
    listed.fails = False
    assert tracking(tmp_path)._write(EVALUATION)
    assert listed.told == [("1", EVALUATION)] and len(listed.begun) == 1


def test_another_server_is_told_everything(listed: Listed, tmp_path: Path) -> None:
    tracking(tmp_path)._write(EVALUATION)
    listed.place = "https://example.org"
    assert tracking(tmp_path)._write(EVALUATION)
    assert [name for name, _ in listed.told] == ["1", "2"]


@pytest.mark.slow
def test_another_experiment_of_mlflow_is_told_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**UNLESS_SET, URI: "", EXPERIMENT: ""}.items():
        monkeypatch.setenv(name, value)
    assert tracking(tmp_path)._write(EVALUATION)
    monkeypatch.setenv(EXPERIMENT, "mine")
    own = tracking(tmp_path)
    for _ in range(2):
        assert own._write(EVALUATION)
    tracker: Any = own.tracker
    client = tracker.client
    experiments = [client.get_experiment_by_name(name).experiment_id for name in ("deepunlearn", "mine")]
    assert [len(client.search_runs([one])) for one in experiments] == [1, 1]


def test_what_another_process_is_at_is_left_to_it(listed: Listed, tmp_path: Path) -> None:
    own = tracking(tmp_path)
    claim = f"tracker-mlflow-{EVALUATION.short}"
    assert own.planner.claims.take(claim)
    assert not own._write(EVALUATION) and not listed.told
    own.planner.claims.release(claim)
    assert own._write(EVALUATION)


def test_a_tracker_that_fails_is_told_of_once_and_then_left_alone(
    listed: Listed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    own = tracking(tmp_path, said)
    runs = [replace(EVALUATION, key=f"{number:064x}"[::-1]) for number in range(1, 8)]
    listed.fails = True
    monkeypatch.setattr(own, "_tasks", lambda: runs)
    monkeypatch.setattr(own, "_run", lambda run: run)
    lines = list(own.finish())
    assert said == ["tracker=mlflow failed, and the sweep goes on without it: ConnectionError: the server is gone"]
    assert len(listed.begun) == IN_A_ROW
    assert lines[0] == "tracker=mlflow: 0 runs"
    assert lines[1].startswith("tracker=mlflow: 7 runs could not be written (ConnectionError: the server is gone)")
    listed.fails = False
    again = tracking(tmp_path, said)
    monkeypatch.setattr(again, "_tasks", lambda: runs)
    monkeypatch.setattr(again, "_run", lambda run: run)
    assert list(again.finish()) == ["tracker=mlflow: 7 runs; see them with: a list"]
    assert len(said) == 1 and len(listed.begun) == 7


def test_curves_of_trials_have_the_smallest_norm_so_far(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    lines = ["0,0,COMPLETE,,0.3,0.4,0,0,1,{},0", "0,1,PRUNED,,,,,,1,{},0", "0,2,COMPLETE,,0,1,0,,1,{},1"]
    path.write_text(HEADER + "\n".join([*lines, "1,0,COMPLETE,,0,0,0,1,1,{},0"]))
    curves = trial_curves(path)
    assert curves["trial/seed0/norm"] == [(0, pytest.approx(0.5)), (2, 1.0)]
    assert curves["trial/seed0/smallest_norm"] == [(0, pytest.approx(0.5)), (2, pytest.approx(0.5))]
    assert curves["trial/seed0/mia"] == [(0, 0.0)], "None where too few samples are for the attack"
    assert curves["trial/seed1/smallest_norm"] == [(0, 1.0)]


def test_a_tracker_tells_no_two_sweeps_apart(tmp_path: Path) -> None:
    sweep = read_command([f"results={tmp_path}", "search=none", "tracker=wandb"]).sweep
    assert sweep.tracker == "wandb"

    def folder(**values: Any) -> Path:
        return folder_of(Planner(sweep.model_copy(update=values), Progress(quiet=True)), "sweep")

    assert folder() == folder(tracker="none") != folder(seeds=(0,))


SMALL = (
    "arch=smallnet", "method=ft", "train.epochs=1", "search=quick", "search.trials=2", "search.seeds=1",
    "search.max_epochs=1", "dataset.limit=300", "runtime.threads=1", "measures=[ain,calibration]",
)  # fmt: skip


@pytest.mark.slow
def test_a_sweep_tells_each_evaluation_and_search_outside_the_clock(listed: Listed, tmp_path: Path) -> None:
    done = called(tmp_path, *SMALL, "seeds=1", "tracker=mlflow")
    assert done.returncode == 0, done.stderr
    assert "tracker=mlflow: 4 runs; see them with: a list" in done.stdout
    runs = {(run.kind, run.method): run for _, run in listed.told}
    assert Counter(run.kind for _, run in listed.told) == {"evaluation": 3, "search": 1}
    assert not listed.at_work & {"execute", "train", "unlearn", "seconds_per_step"} and "run_task" in listed.at_work
    ft = runs["evaluation", "ft"]
    assert {"RA", "FA", "MIA", "RTE", "ECE", "AIN"} <= set(ft.scores), "with its further measures"
    assert ft.params["dataset"] == "digits" and ft.params["params.lr"] > 0 and ft.curves == {}
    assert json.loads((ft.files["row"] / "row.json").read_text())["FA"] == ft.scores["FA"]
    assert len(runs["evaluation", "original"].curves["train/loss"]) == 1
    search = runs["search", "ft"]
    assert len(search.curves["trial/seed0/norm"]) == 2 and search.files["trials"].is_file()
    assert search.params["params.lr"] == ft.params["params.lr"] and search.params["search.trials"] == 2
    assert search.scores["norm"] == min(value for _, value in search.curves["trial/seed0/norm"])

    listed.place = "a server that knows nothing yet"
    planned = called(tmp_path, *SMALL, "seeds=1", "tracker=mlflow", "plan=true")
    assert "nothing to do" in planned.stdout and "tracker=" not in planned.stdout and len(listed.told) == 4
    listed.place = ""
    store = sorted(tmp_path.rglob("store/**/config.json"))
    again = called(tmp_path, *SMALL, "seeds=1", "tracker=mlflow")
    assert "nothing to do" in again.stdout and "tracker=mlflow: 4 runs" in again.stdout and len(listed.told) == 4
    assert sorted(tmp_path.rglob("store/**/config.json")) == store
    more = called(tmp_path, *SMALL, "seeds=1", "tracker=mlflow", "measures=[ain,calibration,mse]")
    assert more.returncode == 0, more.stderr
    assert len(listed.begun) == 4 and {run.method for _, run in listed.told[4:]} == {"ft", "original", "retrained"}
    assert all("MSE_R" in run.scores for _, run in listed.told[4:])


@pytest.mark.slow
def test_a_server_that_is_gone_ends_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = called(tmp_path, *SMALL[:3], *SMALL[7:9], "search=none", "seeds=1", "tracker=mlflow", "measures=[]")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("tracker=mlflow failed, and the sweep goes on without it") == 1
    assert "tracker=mlflow: 3 runs could not be written" in done.stdout
