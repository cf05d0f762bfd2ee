"""The stage that records a training, through the command line: its plan, its costs, its end, and what stops it."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from deepunlearn import status, tables
from deepunlearn.config import read_command
from deepunlearn.core.batches import training_batches
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.progress import Progress
from deepunlearn.launch.description import record_lines
from deepunlearn.launch.estimate import Estimator
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.speed_file import Speed
from deepunlearn.launch.task import Task
from deepunlearn.learning import Shards, Updates
from deepunlearn.stages.evaluation import Experiment
from deepunlearn.stages.recording import MEMBER, UPDATES
from deepunlearn.stages.unlearning import ENSEMBLE
from deepunlearn.testing.small import runtime
from deepunlearn.training import Batches
from tests.commands import LIMIT, SERVER, called, refusal
from tests.forget.test_difficulty import put_bank

CELL = ("dataset=digits", "arch=smallnet", "dataset.limit=300", "train.batch_size=8", "train.epochs=2", "seeds=1",
        "runtime.threads=1", "runtime.checkpoint_seconds=0", "search=none")  # fmt: skip
FEW = ("forget.ratio=0.04",)  # most batches hold none of so few samples
WORK = ("method=amnesiac", "method.params.epochs=0", *CELL, *FEW)


def planned(folder: Path, *arguments: str) -> Planner:
    return Planner(read_command([*arguments, f"results={folder / 'results'}"]).sweep, Progress(quiet=True))


def stored(folder: Path, stage: str, name: str = "meta.json") -> dict[str, Any]:
    (path,) = (folder / "results/store/digits/smallnet" / stage).glob(f"**/{name}")
    values: dict[str, Any] = json.loads(path.read_text())
    return values


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    run = called(folder, *WORK)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.mark.slow
def test_its_training_ends_as_the_original_did_bit_for_bit(done: Path) -> None:
    meta = stored(done, "record")
    assert meta["deviation"] == 0.0 and 0 < meta["affected"] < meta["batches"]
    assert meta["seconds"] > meta["observing_seconds"] > 0


@pytest.mark.slow
def test_the_row_says_what_recording_costs_and_what_a_deployment_would_keep(done: Path) -> None:
    meta, row = stored(done, "record"), stored(done, "rows/amnesiac", "row.json")
    kept = sum(one["bytes"] for one in meta["files"].values())
    assert (row["record_seconds"], row["record_MB"]) == (meta["seconds"], kept / 1e6)
    assert kept > meta["files"][UPDATES]["bytes"] > 2 * meta["update_bytes"] - 1000, "in double precision"
    assert row["affected"] == meta["affected"] / meta["batches"]
    notes = json.loads(row["notes"])
    assert notes["all_updates_MB"] / notes["affected_updates_MB"] == pytest.approx(1 / row["affected"])
    assert notes["all_updates_MB"] * 1e6 == meta["batches"] * meta["update_bytes"]
    assert stored(done, "rows/original", "row.json")["record_seconds"] is None
    assert row["seconds"] < row["record_seconds"], "unlearning alone is what is timed as such"


@pytest.mark.slow
def test_the_plan_says_what_share_of_batches_is_affected_before_anything_runs(done: Path, tmp_path: Path) -> None:
    planned = called(tmp_path, *WORK, "plan=true").stdout
    share = stored(done, "record")["affected"] / stored(done, "record")["batches"]
    assert f"{share:.0%} of the batches of an original's training hold forget samples\n" in planned
    assert not list((tmp_path / "results").glob("store/*"))
    line = next(line for line in planned.splitlines() if line.startswith("record"))
    assert line.split()[1:5] == ["0", "0", "0", "1"]
    many = called(tmp_path, *WORK[:-1], "forget.ratio=0.1", "plan=true").stdout
    assert "of the batches" in many and "little is left when they are undone" in many


@pytest.mark.slow
def test_tables_and_status_show_it(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main([f"results={done / 'results'}"]) == status.main([f"results={done / 'results'}"]) == 0
    shown = next((done / "results").rglob("digits-smallnet.md")).read_text()
    assert all(name in shown for name in ("record_seconds", "record_MB", "affected"))
    line = next(line for line in capsys.readouterr().out.splitlines() if " record " in line)
    assert line.split()[2] == "1", "done"


def test_it_is_one_task_of_all_methods_and_of_every_seed_that_is_unlearned_from(tmp_path: Path) -> None:
    searched = [one for one in WORK if one != "search=none"]
    planner = planned(tmp_path, *searched, "search=quick", "seeds=[4]", "search.seeds=2")
    recorded = [task for task in planner.tasks if task.stage == "record"]
    seeds = {task.seed for task in planner.tasks if task.stage in ("search", "evaluate")}
    assert {task.seed for task in recorded} == seeds and len(recorded) == len(seeds) > 1
    for task in planner.tasks:
        if task.method == "amnesiac" and task.stage in ("search", "evaluate"):
            assert Task("record", 0, "amnesiac", task.seed) in planner.inputs(task)
    assert planner.inputs(recorded[0]) == [Task("reference", 0, "original", recorded[0].seed)]
    estimator = Estimator(planner, [Speed(100.0, 1000.0)])
    sizes = planner.sizes(0)
    assert estimator.task(recorded[0]) == pytest.approx(2 * (sizes["retain"] + sizes["forget"]) / 100, abs=0.5)


@pytest.mark.slow
def test_a_search_of_both_methods_reads_the_record_that_is_there(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "results", tmp_path / "results")
    searched = [one for one in CELL if one != "search=none"]
    both = ("method=amnesiac,pamnesiac", "search=quick", "search.trials=2", "search.seeds=1", "search.max_epochs=1")
    run = called(tmp_path, *both, *searched, *FEW)
    assert run.returncode == 0 and "watched" not in run.stderr, run.stderr
    trials = [path.read_text() for path in (tmp_path / "results/store").rglob("trials.csv")]
    assert len(trials) == 2 and all(text.count(",COMPLETE,") == 2 for text in trials)
    assert any('""first""' in text for text in trials)


@pytest.mark.slow
def test_what_is_recorded_knows_neither_the_test_part_nor_the_retrained_model(done: Path, tmp_path: Path) -> None:
    """Recorded again where there is neither."""
    shutil.copytree(done / "results", tmp_path / "results")
    _without_record(tmp_path)
    planner, progress = planned(tmp_path, *WORK), Progress(quiet=True)
    experiment = Experiment(planner.sweep.cells[0], planner.results, runtime(checkpoint_seconds=60.0), progress)
    for data in (experiment.shared_data, experiment.split_data(0)):
        del data.parts["test"], data.parts["val"], data.parts["retain"]
    shutil.rmtree(tmp_path / "results/store/digits/smallnet/reference/retrained")
    key = planner.record_key(Task("record", 0, "amnesiac", 0))
    experiment.record(key, 0)
    assert stored(tmp_path, "record")["files"][UPDATES] == stored(done, "record")["files"][UPDATES]
    assert not (tmp_path / "results/store/digits/smallnet/reference/retrained").exists()
    facts = vars(experiment.recorded(key, 0))
    assert all(isinstance(one, int) for name, one in facts.items() if name != "updates")
    assert set(facts["updates"]) == set(experiment.original(0).state_dict())


@pytest.mark.slow
def test_an_original_that_this_training_does_not_end_in_makes_the_method_not_applicable(
    done: Path, tmp_path: Path
) -> None:
    """As where it was trained on another machine; within rounding it is taken, and what is left is recorded."""
    shutil.copytree(done / "results", tmp_path / "results")
    _without_record(tmp_path)
    (weights,) = (tmp_path / "results/store/digits/smallnet/reference/original").glob("*/weights.safetensors")
    for factor, code in ((1 + 1e-6, 0), (1.01, 1)):
        _moved(weights, factor)
        run = called(tmp_path, *WORK)
        assert run.returncode == code, run.stdout + run.stderr
        if code == 0:
            assert 1e-7 < stored(tmp_path, "record")["deviation"] < 1e-4
            _without_record(tmp_path)
    notes = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("failure.json")]
    of_method = [note for note in notes if note["method"] == "amnesiac"]
    assert {note["stage"] for note in of_method} == {"record", "evaluate"}
    assert {note["kind"] for note in of_method} == {"not_applicable"}
    assert all("another model than the original that is stored" in note["message"] for note in of_method)


def _without_record(folder: Path) -> None:
    for stage in ("record", "unlearned", "metrics", "rows"):
        shutil.rmtree(folder / "results/store/digits/smallnet" / stage)


def _moved(weights: Path, factor: float) -> None:
    """Stored weights times `factor`, with the digest that tells them whole."""
    save_file({name: value * factor if value.is_floating_point() else value
               for name, value in load_file(weights).items()}, weights)  # fmt: skip
    meta = json.loads((weights.parent / "meta.json").read_text())
    facts = {"bytes": weights.stat().st_size, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    meta["files"][weights.name] = facts
    (weights.parent / "meta.json").write_text(json.dumps(meta))


@pytest.mark.slow
def test_a_kill_during_recording_loses_and_doubles_nothing(done: Path, tmp_path: Path) -> None:
    """In its second epoch, with a checkpoint of the first."""
    shutil.copytree(done / "results", tmp_path / "results")
    _without_record(tmp_path)
    process = SERVER.Process(target=killed_at, args=(40, tmp_path))
    process.start()
    process.join(LIMIT)
    assert process.exitcode == -signal.SIGKILL
    key = planned(tmp_path, *WORK).record_key(Task("record", 0, "amnesiac", 0))
    checkpoint = tmp_path / "results/work" / f"{key.hash}.safetensors"
    assert checkpoint.exists() and not list((tmp_path / "results").rglob(UPDATES)), "killed in the middle of it"
    assert called(tmp_path, *WORK).returncode == 0
    now, before = stored(tmp_path, "record"), stored(done, "record")
    assert now["files"][UPDATES] == before["files"][UPDATES] and now["deviation"] == 0.0
    assert not checkpoint.exists()
    assert stored(tmp_path, "unlearned")["files"] == stored(done, "unlearned")["files"]


def killed_at(step: int, folder: Path) -> None:
    """Run the sweep in a process that ends as by kill -9 before this step of the training that is recorded."""
    follow, steps = Updates.follow, itertools.count()

    def counted(self: Updates, *given: Any) -> Batches:
        for batch in follow(self, *given):
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    Updates.follow = counted  # type: ignore[method-assign]
    called(folder, *WORK)


# -------------------------------------------------------------------------------------------------------------- shards


ENSEMBLES = ("method=sisa", "method.params.shards=2", "method.params.slices=2", *CELL, "forget.ratio=0.04,0.05")


@pytest.fixture(scope="module")
def ensembles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two forget sets, whose models come from one ensemble."""
    folder = tmp_path_factory.mktemp("ensembles")
    run = called(folder, *ENSEMBLES)
    assert run.returncode == 0, run.stderr
    return folder


def members(folder: Path) -> dict[str, str]:
    """Digest of the weights after each slice."""
    return {path.parent.name: json.loads(path.read_text())["files"][MEMBER]["sha256"]
            for path in (folder / "results/store/digits/smallnet/slices").rglob("meta.json")}  # fmt: skip


@pytest.mark.slow
def test_an_ensemble_is_trained_once_for_all_forget_sets(ensembles: Path) -> None:
    planner = planned(ensembles, *ENSEMBLES)
    recorded = [task for task in planner.tasks if task.stage == "record"]
    assert recorded == [Task("record", 0, "sisa", 0)] and planner.state(recorded[0]) == "done"
    assert all(recorded[0] in planner.inputs(Task("evaluate", cell, "sisa", 0)) for cell in (0, 1))
    assert len(members(ensembles)) == 4 and stored(ensembles, "record")["kept_bytes"] > 0


@pytest.mark.slow
def test_what_forgot_is_the_ensemble_trained_from_the_start_without_it(ensembles: Path) -> None:
    planner = planned(ensembles, *ENSEMBLES)
    for cell in (0, 1):
        experiment = Experiment(planner.sweep.cells[cell], planner.results, runtime(), Progress(quiet=True))
        key = planner.record_key(Task("evaluate", cell, "sisa", 0))
        shards, never = experiment.shards(key, 0), experiment.empty_ensemble(key)
        for shard, member in enumerate(never.members):
            for piece in range(2):
                shards.train(member, shard, piece)
        row = planner.place(Task("evaluate", cell, "sisa", 0))
        entry = planner.store.find(planner.keys[cell].unlearned(planner.methods["sisa"], GIVEN, 0), row)
        assert entry is not None
        sizes = [len(shards.placement.members(shard, piece, shards.gone)) for shard in (0, 1) for piece in (0, 1)]
        steps = sum(len(training_batches(size, 8)) for size in sizes)  # in round(2 x 2 / 3) = 1 epoch of each slice
        retraining = experiment.retrain_seconds(0.5, planner.methods["sisa"], GIVEN, 0)
        assert retraining == 0.5 * steps and steps > 30
        made = load_file(entry.file(ENSEMBLE))
        assert made and all(torch.equal(made[name], value) for name, value in never.state_dict().items())


GIVEN: dict[str, Any] = {"shards": 2, "slices": 2, "likely_class": -1}


@pytest.mark.slow
def test_its_rows_hold_it_against_the_single_original_and_time_it_against_the_ensemble(ensembles: Path) -> None:
    rows = [json.loads(path.read_text()) for path in (ensembles / "results/store").glob("**/rows/sisa/*/row.json")]
    assert len(rows) == 2
    for row in rows:
        notes = json.loads(row["notes"])
        assert {f"ensemble_{name}" for name in ("RA", "FA", "VA", "TA")} <= set(notes) and notes["touched_shards"] == 2
        assert row["moved"] is row["L2_original"] is row["affected"] is None and row["record_MB"] > 0
        assert row["RTE"] == pytest.approx(row["retrain_seconds"] / row["seconds"])


@pytest.mark.slow
def test_a_kill_between_slices_trains_only_those_that_are_missing(ensembles: Path, tmp_path: Path) -> None:
    process = SERVER.Process(target=killed_before_slice, args=(2, tmp_path))
    process.start()
    process.join(LIMIT)
    assert process.exitcode == -signal.SIGKILL
    before = members(tmp_path)
    assert len(before) == 2 and not (tmp_path / "results/store/digits/smallnet/record").exists()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "results/store").rglob(MEMBER)}
    assert called(tmp_path, *ENSEMBLES).returncode == 0
    assert members(tmp_path) == members(ensembles) and times == {path: path.stat().st_mtime_ns for path in times}


def killed_before_slice(number: int, folder: Path) -> None:
    """Run the sweep in a process that ends as by kill -9 before it trains this slice."""
    train, slices = Shards.train, itertools.count()

    def counted(self: Shards, *given: Any) -> float:
        if next(slices) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return train(self, *given)

    Shards.train = counted  # type: ignore[method-assign]
    called(folder, *ENSEMBLES)


def test_too_many_slices_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too few training samples"):
        list(record_lines(planned(tmp_path, "method=sisa", "method.params.shards=60", *CELL)))
    with pytest.raises(ConfigError, match="likely_class"):
        list(record_lines(planned(tmp_path, "method=sisa", "method.params.likely_class=10", *CELL)))
    (line,) = record_lines(planned(tmp_path, "method=sisa", *CELL, "forget=classes", "forget.classes=[3]",
                                   "method.params.likely_class=3"))  # fmt: skip
    assert int(line.split()[2].rstrip("%")) < 25 and line.endswith("of the ensemble's training is done again")


def test_a_method_with_an_ensemble_is_no_step_of_a_chain() -> None:
    assert "ensemble in place of the original" in refusal("method=chain", "chain.steps=[sisa,ft]", *CELL).problem
    chain = read_command(["method=chain", "chain.steps=[amnesiac,ft]", *CELL]).sweep.methods[0]
    assert chain.needs == "updates"


# ------------------------------------------------------------------------------------ how hard samples are to learn

REFINED = ("method=rum", *CELL, "rum.1.epochs=1", "rum.2.epochs=1")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    run = called(folder, *REFINED)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("original seed 0: trained") == 1 and ", watched" in run.stderr, "it is trained once"
    return folder


def groups_of(folder: Path, scores: npt.NDArray[np.float64], method: str = "rum") -> None:
    """The notes of the model are the mean scores of thirds of the forget set; scores: of the whole training part."""
    split = np.load(next((folder / "results/store").rglob("split.npz")))
    thirds = np.array_split(np.sort(scores[split["forget"]]), 3)
    notes = json.loads(stored(folder, f"rows/{method}", "row.json")["notes"])
    assert [notes[f"{number}.difficulty"] for number in range(3)] == pytest.approx([part.mean() for part in thirds])


@pytest.mark.slow
def test_groups_go_by_the_confidence_of_the_original_that_is_unlearned(watched: Path) -> None:
    groups_of(watched, _scores_watched(watched))
    row, meta = stored(watched, "rows/rum", "row.json"), stored(watched, "confidence")
    assert row["record_seconds"] == meta["seconds"] > 0 and row["record_MB"] > 0 and row["affected"] is None


@pytest.mark.slow
def test_groups_go_by_memorisation_where_a_bank_is_given(watched: Path, tmp_path: Path) -> None:
    shutil.copytree(watched / "results/cache", tmp_path / "results/cache")
    labels = planned(tmp_path, *REFINED).data(0).train_labels
    scores = np.random.default_rng(0).permutation(np.linspace(-0.1, 1, len(labels)))
    put_bank(tmp_path / "bank", scores, np.arange(len(labels)), labels)
    run = called(tmp_path, *REFINED, f"rum.bank={tmp_path / 'bank'}")
    assert run.returncode == 0 and "watched" not in run.stderr, run.stderr
    groups_of(tmp_path, scores)
    assert stored(tmp_path, "rows/rum", "row.json")["record_seconds"] is None


@pytest.mark.slow
def test_a_search_of_other_steps_reads_what_was_watched(watched: Path, tmp_path: Path) -> None:
    shutil.copytree(watched / "results", tmp_path / "results")
    searched = [one for one in CELL if one != "search=none"]
    own = ("method=rum", "rum.steps=[ga,none,ft]", "rum.0.epochs=1", "rum.2.epochs=1")
    run = called(tmp_path, *own, *searched, "search=quick", "search.trials=2", "search.seeds=1")
    assert run.returncode == 0 and "watched" not in run.stderr, run.stderr
    row = stored(tmp_path, "rows/rum-ga-none-ft", "row.json")
    assert row["method_title"] == "RUM (GA, none, FT)" and {"0.lr", "2.lr"} <= set(json.loads(row["params"]))
    groups_of(tmp_path, _scores_watched(tmp_path), "rum-ga-none-ft")


@pytest.mark.slow
def test_an_original_that_is_there_is_kept_when_it_is_watched_later(watched: Path, tmp_path: Path) -> None:
    shutil.copytree(watched / "results", tmp_path / "results")
    for gone in ("confidence", "rows/rum", "unlearned", "metrics/rum"):
        shutil.rmtree(tmp_path / "results/store/digits/smallnet" / gone)
    (before,) = (tmp_path / "results/store/digits/smallnet/reference/original").rglob("meta.json")
    made = before.read_bytes()
    assert called(tmp_path, *REFINED).returncode == 0
    assert before.read_bytes() == made
    np.testing.assert_array_equal(_scores_watched(tmp_path), _scores_watched(watched))
    same = ("FA", "RA", "TA", "moved")
    rows = [stored(folder, "rows/rum", "row.json") for folder in (watched, tmp_path)]
    assert [rows[0][name] for name in same] == [rows[1][name] for name in same]


def _scores_watched(folder: Path) -> npt.NDArray[np.float64]:
    seen = np.load(next((folder / "results/store/digits/smallnet/confidence").rglob("confidence.npz")))
    scores = np.full(1438, np.nan)
    scores[seen["samples"]] = -seen["confidence"]
    return scores
