"""When a trial is looked at and on which samples; that a look changes nothing of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from deepunlearn.analysis.records import collect
from deepunlearn.analysis.search_spread import states
from deepunlearn.config import read_command
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.metrics.counted import EVERYTHING, Counted
from deepunlearn.runtime import Runtime
from deepunlearn.search.looks import course, look_rows, looks_at, shares
from deepunlearn.search.study import look_at, score_model
from deepunlearn.stages.evaluation import Experiment
from tests.commands import sweep

MEDIAN: Any = SimpleNamespace(prune=True, pruner="median")
HALVING: Any = SimpleNamespace(prune=True, pruner="halving")


@pytest.mark.parametrize(
    ("search", "first", "epochs", "expected"),
    [
        (MEDIAN, 0.25, 10, {5: 50, 8: 75}),
        (HALVING, 0.25, 10, {3: 25, 5: 50}),
        (HALVING, 0.5, 10, {5: 50}),
        (HALVING, 0.25, 2, {1: 50}),
        (HALVING, 0.25, 1, {}),
        (HALVING, 1.0, 10, {}),
        (SimpleNamespace(prune=False, pruner="median"), 0.25, 10, {}),
    ],
)
def test_when_a_trial_is_looked_at(search: Any, first: float, epochs: int, expected: dict[int, int]) -> None:
    assert looks_at(shares(search, first), epochs) == expected


def test_what_halving_leaves_of_a_trial() -> None:
    """Of 8 epochs all trials run 2, half of them 4, a quarter all 8: (2 + 2 / 2 + 4 / 4) / 8."""
    assert vars(course(HALVING, 0.25, 8)) == {"epochs": 0.5, "looks": 1.5, "finished": 0.25}
    assert vars(course(HALVING, 0.5, 8)) == {"epochs": 0.75, "looks": 1, "finished": 0.5}
    assert vars(course(HALVING, 0.25, 2)) == {"epochs": 0.625, "looks": 1, "finished": 0.25}, "one look, two rungs"
    assert vars(course(HALVING, 0.25, 1)) == {"epochs": 1, "looks": 0, "finished": 1}, "a method without epochs"


LABELS = {
    "retain": np.repeat(np.arange(3), (60, 30, 10)),
    "forget": np.arange(12) % 3,
    "val": np.arange(200) % 10,
}


def test_a_look_has_as_many_of_each_class_as_the_part_and_is_the_same_each_time() -> None:
    rows = look_rows(LABELS, EVERYTHING, 20, seed=1)
    assert np.bincount(LABELS["retain"][rows["retain"]]).tolist() == [12, 6, 2]
    assert rows["forget"].tolist() == list(range(12)), "where there are fewer: all"
    assert np.bincount(LABELS["val"][rows["val"]]).tolist() == [2] * 10
    again, other = (look_rows(LABELS, EVERYTHING, 20, seed=seed) for seed in (1, 2))
    assert all(np.array_equal(rows[part], again[part]) for part in rows)
    assert not np.array_equal(rows["retain"], other["retain"])
    assert all((np.diff(own) > 0).all() for own in rows.values())


def test_where_a_class_is_forgotten_whole_a_look_has_enough_of_it_to_attack() -> None:
    counted = Counted((4,), {"val": np.flatnonzero(LABELS["val"] == 4)}, {"val": np.arange(20)})
    rows = look_rows(LABELS, counted, 18, seed=1)
    drawn = LABELS["val"][rows["val"]]
    assert (drawn == 4).sum() == 18 and (drawn != 4).sum() == 18
    own = counted.among("val", rows["val"])
    assert (drawn[own.unseen["val"]] == 4).all() and len(own.unseen["val"]) == 18
    there = rows["val"][own.unseen["val"]]
    assert own.labels["val"].tolist() == [list(counted.unseen["val"]).index(row) for row in there], "each its own label"
    assert counted.among("retain", rows["retain"]) is counted


SMALL = ("dataset=digits", "dataset.limit=400", "arch=smallnet", "method=ft", "train.epochs=1", "seeds=1",
         "runtime.threads=1", "protocol=heldout")  # fmt: skip


@pytest.mark.slow
def test_a_thrifty_search_with_looks_from_the_command_to_tables(tmp_path: Path) -> None:
    """And in its cell: a look changes nothing of the model, and one on all samples is the whole score."""
    searched = ("search=thrifty", "search.trials=5", "search.seeds=1", "search.candidates=1", "search.max_epochs=4",
                "search.look_samples=20")  # fmt: skip
    made = sweep(tmp_path, *SMALL, *searched, "method.params.epochs=4")
    assert made.returncode == 0, made.stdout + made.stderr
    (table,) = (tmp_path / "results" / "store").rglob("trials.csv")
    trials = pd.read_csv(table)
    pruned = trials[trials["state"] == "PRUNED"]
    assert len(trials) == 5 and len(pruned) >= 1
    assert set(pruned["epoch"]) <= {1, 2} and set(pruned["samples"]) == {60}
    whole = trials[trials["state"] == "COMPLETE"]
    assert set(whole["epoch"]) == set(trials["epochs"]) == {4}
    assert whole["sum"].to_numpy() == pytest.approx(whole[["retain", "forget", "val", "mia"]].sum(axis=1).to_numpy())
    found = collect(tmp_path / "results").trials
    assert f"{len(pruned)} pruned at epoch 1" in states(found) and "of 4, scored on 60 samples" in states(found)
    command = read_command([*SMALL, *searched, f"results={tmp_path / 'results'}"])
    experiment = Experiment(
        command.sweep.cells[0], Results(tmp_path / "results"), Runtime(command.sweep.runtime), Progress(quiet=True)
    )
    method = command.sweep.methods[0]
    params = json.loads(whole["params"].iloc[0])
    looked: list[int] = []

    def look(epoch: int, model: torch.nn.Module) -> None:
        looked.append(epoch)
        score_model(experiment, model, 10, 20)

    plain, _ = experiment.unlearn(method, params, 10)
    watched, _ = experiment.unlearn(method, params, 10, look)
    assert looked == [1, 2, 3, 4]
    ours, theirs = plain.state_dict(), watched.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours), "bit for bit"
    scores = score_model(experiment, plain, 10)
    assert scores.four == tuple(whole[["retain", "forget", "val", "mia"]].iloc[0]), "and the stored trial is that model"
    assert score_model(experiment, plain, 10, 10_000) == scores
    rows = look_at(experiment, 10, 20)
    assert rows is not None and score_model(experiment, plain, 10, 20) != scores
