"""What MLflow's own client finds in the folder."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from deepunlearn.trackers import open_tracker
from deepunlearn.trackers.mlflow import EXPERIMENT, UNLESS_SET, URI
from tests.trackers.made import EVALUATION, MEASURED, SEARCH

pytestmark = pytest.mark.slow


@pytest.fixture
def as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tracker sets in the environment is gone afterwards."""
    for name in (URI, EXPERIMENT, *UNLESS_SET):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("as_unset")
def test_scores_that_have_changed_and_steps_that_were_missing_are_written(tmp_path: Path) -> None:
    tracker = open_tracker("mlflow", tmp_path)
    tracker.prepare()
    name = tracker.begin(EVALUATION)
    cut = replace(EVALUATION, scores={"RA": 0.75}, curves={"train/loss": [(0, 2.5)]})
    longer = {"train/loss": [(0, 2.5), (1, 1.25), (2, 1.0)]}
    whole = replace(EVALUATION, scores={"RA": 0.25, "MIA": 0.5, "ECE": math.nan}, curves=longer)
    other = replace(whole, curves={"train/loss": [(0, 2.5), (1, 1.5), (2, 1.0)]})
    for run in (cut, whole, whole, other):
        tracker.write(run, name)

    from mlflow.tracking import MlflowClient

    client = MlflowClient((tmp_path / "mlruns").as_uri())
    assert client.get_run(name).data.metrics["RA"] == 0.25 and client.get_run(name).data.metrics["MIA"] == 0.5
    assert [one.value for one in client.get_metric_history(name, "RA")] == [0.75, 0.25]
    losses = [(one.step, one.value) for one in client.get_metric_history(name, "train/loss")]
    assert losses == [(0, 2.5), (1, 1.25), (2, 1.0), (1, 1.5)]
    assert len(client.get_metric_history(name, "ECE")) == 1


@pytest.mark.usefixtures("as_unset")
def test_runs_are_read_back_and_what_is_told_again_stands_once(tmp_path: Path) -> None:
    tracker = open_tracker("mlflow", tmp_path)
    tracker.prepare()
    names = {run.key: tracker.begin(run) for run in (EVALUATION, SEARCH)}
    otherwise = replace(SEARCH, params={**SEARCH.params, "params.lr": 0.02, "search.together": 8})
    for run in (EVALUATION, SEARCH, MEASURED, otherwise):
        tracker.write(run, names[run.key])

    from mlflow.tracking import MlflowClient

    client = MlflowClient((tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("deepunlearn")
    runs = client.search_runs([experiment.experiment_id], "tags.`deepunlearn.kind` = 'evaluation'")
    assert [run.info.run_id for run in runs] == [names[EVALUATION.key]]
    (run,) = runs
    assert run.info.status == "FINISHED" and run.info.run_name == EVALUATION.title
    assert run.data.metrics == {"RA": 0.75, "MIA": 0.5, "ECE": 0.125, "train/loss": 1.25, "trial/seed0/norm": 0.5}
    assert run.data.params["params.lr"] == "0.01" and run.data.params["seed"] == "3"
    assert run.data.tags["deepunlearn.file.row"] == "/somewhere/rows/ft"
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(one.step, one.value) for one in losses] == [(0, 2.5), (1, 1.25)]
    assert len(client.search_runs([experiment.experiment_id])) == 2
    params = client.get_run(names[SEARCH.key]).data.params
    assert (params["params.lr"], params["search.together"]) == ("0.01", "8"), "what MLflow has does not change there"


def test_the_users_server_and_experiment_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UNLESS_SET:
        monkeypatch.setenv(name, UNLESS_SET[name])
    monkeypatch.setenv(URI, (tmp_path / "theirs").as_uri())
    monkeypatch.setenv(EXPERIMENT, "mine")
    tracker = open_tracker("mlflow", tmp_path / "ours")
    assert tracker.elsewhere == tracker.view == (tmp_path / "theirs").as_uri()
    tracker.prepare()

    from mlflow.tracking import MlflowClient

    assert MlflowClient((tmp_path / "theirs").as_uri()).get_experiment_by_name("mine") is not None
    assert not (tmp_path / "ours").exists()
