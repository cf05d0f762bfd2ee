"""Requests that arrive one after the other, over all stages: what each round starts from, gets, and is scored by."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deepunlearn import status, tables
from deepunlearn.analysis import records
from deepunlearn.analysis.aggregate import aggregate
from deepunlearn.analysis.coverage import outcomes
from deepunlearn.analysis.rows import collect, of_round
from deepunlearn.config import read_command
from deepunlearn.core.keys import UnlearnedKey
from deepunlearn.core.progress import Progress
from deepunlearn.core.store import Entry
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import Task
from deepunlearn.launch.worker import Worker
from deepunlearn.metrics.accuracy import accuracy
from deepunlearn.runtime import Runtime
from deepunlearn.stages.evaluation import Experiment
from deepunlearn.stages.recording import UPDATES
from deepunlearn.stages.unlearning import ENSEMBLE
from tests.commands import SERVER, called

pytestmark = pytest.mark.slow
SCHEDULE = (12, 1, 15)
YAML = """\
name: {name}
version: 1
title: {name}
paper: none
reads: [forget]
epoch_cost: 1.0
space:
  step: {{type: float, default: 0.001, ge: 0, searched: false, help: what is added to each weight}}
"""
ADDS = """\
import torch
from deepunlearn.methods.base import Method
class Adds(Method):
    step: float
    def run(self, problem):
        start = sum(float(value.double().sum()) for value in problem.original.parameters())
        problem.notes |= {"retain": len(problem.retain), "forget": len(problem.forget), "start": start}
        problem.notes["labels"] = int(problem.forget.labels.sum())
        with torch.no_grad():
            for parameter in problem.model.parameters():
                parameter += self.step
        yield
"""
HALTS = """\
from deepunlearn.core.errors import Diverged
from deepunlearn.methods.base import Method
class Halts(Method):
    step: float
    def run(self, problem):
        if len(problem.forget) == 1:
            raise Diverged("a loss is not finite", given="nan", allowed="finite losses", remedy="lower the rate")
        yield
"""
UNFIT = HALTS.replace("Diverged", "NotApplicable").replace("Halts", "Unfit")
CELL = ("dataset=digits", "arch=smallnet", "dataset.limit=300", "train.batch_size=32", "train.epochs=2", "seeds=1",
        "runtime.threads=1", "search=none")  # fmt: skip
METHODS = (
    "method=ft,adds,same,halts,unfit,amnesiac,pamnesiac,sisa", "method.ft.params.epochs=1",
    "method.same.params.step=0", "method.amnesiac.params.epochs=0", "method.pamnesiac.params.first=0.2",
    "method.pamnesiac.params.last=0.7", "method.pamnesiac.params.by=magnitude", "method.pamnesiac.params.epochs=0",
    "method.sisa.params.shards=2", "method.sisa.params.slices=2",
)  # fmt: skip
ROUNDS = f"forget.schedule=[{','.join(map(str, SCHEDULE))}]"


def write_methods(folder: Path) -> None:
    for name, code in (("adds", ADDS), ("same", ADDS), ("halts", HALTS), ("unfit", UNFIT)):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(YAML.format(name=name))
        (folder / f"{name}.py").write_text(code)


@dataclass(frozen=True)
class Done:
    planner: Planner

    def entry(self, round: int, method: str) -> Entry:
        task = Task("evaluate", round - 1, method, 0)
        subject = self.planner.subject(task)
        assert subject is not None
        found = self.planner.store.find(subject, self.planner.place(task))
        assert found is not None, task
        return found

    def row(self, round: int, method: str) -> Mapping[str, Any]:
        rows = [json.loads(path.read_text()) for path in self.planner.store.root.glob("**/row.json")]
        (found,) = [row for row in rows if (row["round"], row["method"]) == (round, method)]
        return found

    def experiment(self, round: int) -> Experiment:
        sweep = self.planner.sweep
        runtime = Runtime(sweep.runtime)
        return Experiment(sweep.cells[round - 1], self.planner.results, runtime, Progress(quiet=True))


def planned(folder: Path, *options: str) -> Planner:
    folders = (f"extra_methods={folder / 'methods'}", f"results={folder / 'results'}")
    return Planner(read_command([*CELL, *folders, *options]).sweep, Progress(quiet=True))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("rounds")
    write_methods(folder / "methods")
    run = called(folder, *CELL, *METHODS, ROUNDS, "measures=[flops,divergence]", "extra_methods=methods")
    assert run.returncode == 1, run.stderr
    return Done(planned(folder, *METHODS, ROUNDS, "measures=[flops,divergence]"))


def weights(entry: Entry, name: str = "weights.safetensors") -> dict[str, torch.Tensor]:
    return load_file(entry.file(name))


def test_a_first_round_is_an_ordinary_deletion_of_its_request_bit_for_bit(done: Done, tmp_path: Path) -> None:
    write_methods(tmp_path / "methods")
    planner = planned(tmp_path, "method=ft", "method.ft.params.epochs=1", f"forget.count={SCHEDULE[0]}")
    worker = Worker(planner, Runtime(planner.sweep.runtime), planner.progress)
    assert worker.run(planner.tasks).keys() == {"done"}
    alone = Done(planner)
    subject = planner.subject(Task("evaluate", 0, "ft", 0))
    assert subject is not None and subject == done.planner.subject(Task("evaluate", 0, "ft", 0))
    assert alone.entry(1, "ft").meta["files"] == done.entry(1, "ft").meta["files"]
    mine, (ordinary,) = (
        done.row(1, "ft"),
        [json.loads(path.read_text()) for path in planner.store.root.glob("**/rows/ft/*/row.json")],
    )
    for name in ("RA", "FA", "TA", "RetDev", "MIA_AUC", "Disc_AUC", "n_retain", "n_forget", "metrics_key"):
        assert mine[name] == ordinary[name], name
    assert (mine["FA_request"], mine["Disc_AUC_request"]) == (ordinary["FA"], ordinary["Disc_AUC"])
    assert mine["FA_earlier"] is None and ordinary["round"] is ordinary["FA_request"] is None
    assert mine["cell"] != ordinary["cell"], "another table"


def test_rounds_are_given_their_own_request_and_go_on_from_their_own_model(done: Done) -> None:
    """The method adds the same to each weight in each round, and notes what it is given."""
    original = sum(float(value.double().sum()) for value in done.experiment(1).original(0).parameters())
    number = sum(value.numel() for value in done.experiment(1).original(0).parameters())
    labels = done.experiment(1).decoded.train_labels
    before: set[int] = set()
    for round, size in enumerate(SCHEDULE, start=1):
        notes, split = json.loads(done.row(round, "adds")["notes"]), done.experiment(round).split
        request = sorted(set(split.forget.tolist()) - before)
        before |= set(request)
        assert notes["start"] == pytest.approx(original + (round - 1) * 0.001 * number, rel=1e-5)
        assert (
            (notes["forget"], notes["retain"])
            == (size, len(split.train) - len(before))
            == (len(request), len(split.retain))
        )
        assert notes["labels"] == labels[request].sum()
        assert not before & set(split.retain.tolist())


def test_a_method_that_changes_nothing_keeps_the_logits_of_the_original_in_all_rounds(done: Done) -> None:
    for round in (1, 2, 3):
        original = done.experiment(round).logits("original", 0)
        own = done.entry(round, "same").arrays("logits.npz")
        assert all(np.array_equal(own[part], original[part]) for part in original)
        row, reference = done.row(round, "same"), done.row(round, "original")
        for name in ("RA", "FA", "FA_request", "FA_earlier", "Disc_AUC_request", "Disc_AUC_earlier"):
            assert row[name] == reference[name], name


def test_rows_say_which_round_they_are_of_and_score_each_request_apart(done: Done) -> None:
    assert len({done.row(round, "ft")["sequence"] for round in (1, 2, 3)}) == 1
    for round in (1, 2, 3):
        experiment, row = done.experiment(round), done.row(round, "ft")
        total = sum(SCHEDULE[:round])
        assert (row["round"], row["rounds"], row["requested"], row["forgotten"]) == (
            round,
            3,
            SCHEDULE[round - 1],
            total,
        )
        assert row["n_forget"] == total and row["forget_kind"] == "random"
        assert row["sequence"] == done.row(round, "retrained")["sequence"]
        logits, split = done.entry(round, "ft").arrays("logits.npz")["forget"], experiment.split
        earlier = np.isin(split.forget, done.experiment(round - 1).split.forget if round > 1 else [])
        labels = experiment.decoded.train_labels[split.forget]
        assert row["FA_request"] == accuracy(logits[~earlier], labels[~earlier])
        if round > 1:
            assert row["FA_earlier"] == accuracy(logits[earlier], labels[earlier])
            assert row["Disc_AUC_earlier"] is not None
        assert (row["Disc_AUC_request"] is None) == (SCHEDULE[round - 1] < 10), "n/a below 10"


def test_the_original_is_shared_and_retrained_models_are_of_each_round(done: Done) -> None:
    store = done.planner.store.root / "digits/smallnet/reference"
    assert (len(list((store / "original").iterdir())), len(list((store / "retrained").iterdir()))) == (1, 3)
    seconds = [done.row(round, "retrained")["seconds"] for round in (1, 2, 3)]
    assert len(set(seconds)) == 3 and all(seconds)


def test_a_method_that_fails_in_a_round_has_not_reached_those_after_it(done: Done) -> None:
    planner = done.planner
    tasks = [Task("evaluate", cell, "halts", 0) for cell in range(3)]
    assert [planner.state(task) for task in tasks] == ["done", "failed", "skipped"]
    note = planner.failure(tasks[2])
    assert note is not None and note["kind"] == "not_reached"
    assert note["message"].startswith("round 2 did not end well: Diverged: a loss is not finite")
    cases = outcomes(collect(planner.results.root), planner.results.root)
    told = cases[cases["method"] == "halts"].set_index("cell")["outcome"]
    assert told[[keys.cell_key.short for keys in planner.keys]].tolist() == ["found", "failed", "not_reached"]
    assert not [path for path in planner.store.root.glob("**/rows/halts/*/row.json")
                if json.loads(path.read_text())["round"] > 1]  # fmt: skip
    assert {planner.state(task) for task in planner.tasks if task.method not in ("halts", "unfit")} == {"done"}


def test_a_method_that_cannot_be_applied_in_a_round_is_no_failure_in_those_after_it(done: Done) -> None:
    """The tables call it n/a in the last round too, as a failure would be held against the method."""
    planner = done.planner
    tasks = [Task("evaluate", cell, "unfit", 0) for cell in range(3)]
    assert [planner.state(task) for task in tasks] == ["done", "failed", "skipped"]
    notes = [planner.failure(task) for task in tasks[1:]]
    assert [note and note["kind"] for note in notes] == ["not_applicable", "not_applicable"]
    assert notes[1] and notes[1]["message"].startswith("round 2 did not end well: NotApplicable: a loss is not finite")
    found = records.collect(planner.results.root)
    lines = aggregate(*of_round(found.rows, found.cases)).set_index("method")
    assert lines.loc[["unfit", "halts", "ft"], "status"].tolist() == ["n/a", "F", ""]


def test_sisa_is_after_each_round_the_ensemble_trained_without_all_requests(done: Done) -> None:
    method, given = done.planner.methods["sisa"], {"shards": 2, "slices": 2, "likely_class": -1}
    for round in (1, 2, 3):
        experiment = done.experiment(round)
        key = experiment.keys.record(method, given, 0)
        shards, never = experiment.shards(key, 0), experiment.empty_ensemble(key)
        assert shards.gone.sum() == sum(SCHEDULE[:round])
        for shard, member in enumerate(never.members):
            for piece in range(2):
                shards.train(member, shard, piece)
        made = weights(done.entry(round, "sisa"), ENSEMBLE)
        assert made and all(torch.equal(made[name], value) for name, value in never.state_dict().items())
        notes = json.loads(done.row(round, "sisa")["notes"])
        assert notes["touched_shards"] == (1 if SCHEDULE[round - 1] == 1 else 2)
    assert len(list((done.planner.store.root / "digits/smallnet/record/shards").iterdir())) == 1


def test_amnesiac_takes_off_each_update_once(done: Done) -> None:
    """After all rounds it is the original without every update that a forgotten sample was part of."""
    original = weights(done.experiment(1).reference("original", 0))
    total = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in original.items()}
    method, counts = done.planner.methods["amnesiac"], []
    for round in (1, 2, 3):
        experiment = done.experiment(round)
        record = experiment.record(experiment.keys.record(method, method.complete({"epochs": 0}), 0), 0)
        counts.append(record.meta["affected"])
        for name, value in load_file(record.file(UPDATES)).items():
            total[name] += value
        made = weights(done.entry(round, "amnesiac"))
        assert all(
            torch.allclose(made[name].double(), value.double() - total[name], atol=1e-5)
            for name, value in original.items() if "running_var" not in name
        )  # fmt: skip
    experiment = done.experiment(3)
    whole = experiment.keys.record(method, method.complete({"epochs": 0}), 0).model_copy(update={"earlier": None})
    experiment.earlier = np.zeros_like(experiment.earlier)
    at_once = experiment.record(whole, 0)
    assert sum(counts) == at_once.meta["affected"] <= at_once.meta["batches"] and min(counts) > 0
    assert all(torch.allclose(value.double(), total[name]) for name, value in load_file(at_once.file(UPDATES)).items())


def test_partial_amnesiac_takes_the_largest_changes_of_each_request_off_its_model_of_the_round_before(
    done: Done,
) -> None:
    amnesiac, method = done.planner.methods["amnesiac"], done.planner.methods["pamnesiac"]
    before = weights(done.experiment(1).reference("original", 0))
    for round in (1, 2, 3):
        experiment = done.experiment(round)
        key = experiment.keys.record(method, method.complete({}), 0)
        assert key == experiment.keys.record(amnesiac, amnesiac.complete({}), 0), "one record for both"
        updates, made = load_file(experiment.record(key, 0).file(UPDATES)), weights(done.entry(round, "pamnesiac"))
        for name in [name for name in made if "running_var" not in name]:
            without = (before[name].to(updates[name].dtype) - updates[name]).to(made[name].dtype)
            assert bool(((made[name] == without) | (made[name] == before[name])).all()), (round, name)
        last = [name for name in experiment.fresh_model(0).state_dict() if made[name].dim() > 1][-1]
        taken, sizes = (made[last] != before[last]).flatten(), updates[last].abs().flatten()
        assert int(taken.sum()) == int(0.7 * len(sizes) + 0.5) and sizes[taken].min() >= sizes[~taken].max()
        before = made


def test_measures_look_at_the_models_of_all_rounds(done: Done) -> None:
    measured = collect_measures(done)
    assert {(task.cell, task.method) for task in measured} >= {(cell, "ft") for cell in range(3)}


def collect_measures(done: Done) -> list[Task]:
    tasks = [task for task in done.planner.tasks if task.stage == "measure" and task.method not in ("halts", "unfit")]
    assert {done.planner.state(task) for task in tasks} == {"done"}
    return tasks


def test_a_search_in_each_round_tries_values_on_the_models_of_the_round_before(tmp_path: Path) -> None:
    """On a seed that is not reported, too, whose models the search makes for itself."""
    write_methods(tmp_path / "methods")
    options = ("method=ft", "forget.schedule=[12,8]", "forget.search_rounds=each", "search=quick", "search.trials=2",
               "search.seeds=1", "search.max_epochs=1", "seeds=[1]", "extra_methods=methods")  # fmt: skip
    run = called(tmp_path, *CELL[:-2], CELL[-2], *options)
    assert run.returncode == 0, run.stderr
    planner = planned(tmp_path, *options[:-1])
    assert {planner.state(task) for task in planner.tasks} == {"done"}
    models = sorted((planner.store.root / "digits/smallnet/unlearned/ft").iterdir())
    assert [path.name.split("-")[0] for path in models] == ["seed0", "seed1", "seed1"], "seed 0 of the first round only"
    second = planner.subject(Task("evaluate", 1, "ft", 1))
    assert isinstance(second, UnlearnedKey) and second.earlier is not None
    assert (second.params, second.earlier.params) == (planner.winner(1, "ft"), planner.winner(0, "ft"))


def test_tables_and_status_can_be_made_of_them(done: Done, capsys: pytest.CaptureFixture[str]) -> None:
    results = done.planner.results.root
    assert tables.main([f"results={results}", "partial=true"]) == status.main([f"results={results}"]) == 0
    out = capsys.readouterr().out
    assert "not_reached: " in out and "round 2 did not end well" in out


def test_a_kill_in_a_round_loses_no_earlier_one_and_changes_nothing(done: Done, tmp_path: Path) -> None:
    """kill -9 while the second round unlearns; the same command then goes on there."""
    shutil.copytree(done.planner.results.root.parent / "methods", tmp_path / "methods")
    process = SERVER.Process(target=killed_in_round, args=(2, tmp_path))
    process.start()
    process.join(timeout=300)
    assert process.exitcode == -signal.SIGKILL
    options = (*CELL, "method=adds,ft", "method.ft.params.epochs=1", ROUNDS, "extra_methods=methods")
    killed = Done(planned(tmp_path, "method=adds,ft", "method.ft.params.epochs=1", ROUNDS))
    states = [killed.planner.state(Task("evaluate", cell, "adds", 0)) for cell in range(3)]
    assert states == ["done", "to do", "to do"]
    dates = {path: path.stat().st_mtime_ns for path in killed.planner.store.root.rglob("meta.json")}
    assert called(tmp_path, *options).returncode == 0
    assert all(path.stat().st_mtime_ns == date for path, date in dates.items()), "nothing is made twice"
    for round in (1, 2, 3):
        for method in ("adds", "ft"):
            assert killed.entry(round, method).meta["files"] == done.entry(round, method).meta["files"]


def killed_in_round(round: int, folder: Path) -> None:
    """Run the sweep in a process that ends as by kill -9 when the first method of this round has unlearned."""
    store = Experiment._store_unlearned

    def killed(self: Experiment, key: Any, *given: Any) -> Entry:
        if self.keys.rounds is not None and self.keys.rounds.round == round:
            os.kill(os.getpid(), signal.SIGKILL)
        return store(self, key, *given)

    Experiment._store_unlearned = killed  # type: ignore[method-assign]
    called(folder, *CELL, "method=adds,ft", "method.ft.params.epochs=1", ROUNDS, "extra_methods=methods")
