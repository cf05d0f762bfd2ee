"""Tasks and their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError, MissingData
from deepunlearn.core.progress import Progress
from deepunlearn.launch.checks import check
from deepunlearn.launch.estimate import TRIAL_OVERHEAD, Estimator
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.speed_file import Speed
from deepunlearn.launch.task import Task
from deepunlearn.metrics.scores import SEARCH_PARTS
from deepunlearn.search.looks import course
from tests.forget.test_difficulty import put_bank


def test_a_tasks_name_can_be_read_back() -> None:
    task = Task("evaluate", 3, "msg", None)
    assert Task.parse(str(task)) == task


def planned(folder: Path, *arguments: str) -> Planner:
    small = ("dataset=digits", "arch=smallnet", "method=ft,ga", "search=none", "seeds=2", f"results={folder}")
    return Planner(read_command([*small, *arguments]).sweep, Progress(quiet=True))


def test_a_failure_of_one_measure_is_none_of_another_whose_name_ends_so(tmp_path: Path) -> None:
    planner = planned(tmp_path, "method=ft", "measures=[mse]")
    task = next(task for task in planner.tasks if task.stage == "measure")
    (measure,) = planner.lacking(task)
    for named, state in ((f"my_{measure.label}", "to do"), (f"{measure.label}0", "to do"), (measure.label, "failed")):
        planner.note(task, "failed", "MeasureFailed", f"measure {named}: ValueError: no luck", "")
        assert planner.state(task) == state, named


def test_a_shared_study_is_one_task_and_needs_the_models_of_all_its_seeds(tmp_path: Path) -> None:
    planner = planned(tmp_path, "method=ft", "search=thrifty", "protocol=heldout", "seeds=1")
    (searched,) = (task for task in planner.tasks if task.stage == "search")
    assert searched == Task("search", 0, "ft", 10)
    assert planner.inputs(searched) == [
        Task("reference", 0, role, seed) for seed in (10, 11, 12) for role in ("original", "retrained")
    ]
    (selected,) = (task for task in planner.tasks if task.stage == "select")
    assert planner.inputs(selected) == [searched]
    estimator = Estimator(planner, [Speed(1000, 1e9)])
    whole, trial = estimator.task(selected) / 9 - TRIAL_OVERHEAD, estimator.task(searched) / 24 - TRIAL_OVERHEAD
    epochs = (1 + planner.sweep.cells[0].epoch_limit(planner.sweep.search)) / 2
    sizes = planner.sizes(0)
    assert whole == pytest.approx(epochs * sizes["retain"] / 1000), "three candidates, three seeds, nothing pruned"
    assert trial == pytest.approx(whole * course(planner.sweep.search, 0.25, round(epochs)).epochs)
    assert trial < 0.7 * whole
    slow = Estimator(planner, [Speed(1e9, 1)])
    looks = course(planner.sweep.search, 0.25, round(epochs))
    few, all_of = sum(min(512, sizes[part]) for part in SEARCH_PARTS), sum(sizes[part] for part in SEARCH_PARTS)
    scoring = slow.task(searched) / 24 - TRIAL_OVERHEAD
    assert scoring == pytest.approx(looks.looks * few + looks.finished * all_of, rel=1e-6)


def test_an_original_is_a_task_of_the_first_cell_that_needs_it(tmp_path: Path) -> None:
    """Wrong labels are learnt by an original, so that forget set has one of its own."""
    planner = planned(tmp_path, "forget=random,mislabelled", "forget.ratio=0.05,0.1,0.2")
    trained = [(task.cell, task.method) for task in planner.tasks if task.stage == "reference" and task.seed == 0]
    assert sorted(trained) == [
        (0, "original"), (0, "retrained"), (1, "retrained"), (2, "retrained"), (3, "original"), (3, "retrained"),
    ]  # fmt: skip
    assert planner.inputs(Task("evaluate", 2, "ft", 1)) == [
        Task("reference", 0, "original", 1), Task("reference", 2, "retrained", 1),
    ]  # fmt: skip
    names = [planner.task_id(task) for task in planner.tasks]
    assert len(names) == len(set(names))


def test_models_of_a_seed_are_measured_together_so_that_their_references_are_read_once(tmp_path: Path) -> None:
    measured = [task for task in planned(tmp_path, "measures=[divergence]").tasks if task.stage == "measure"]
    assert [task.seed for task in measured] == [0] * 4 + [1] * 4
    assert {task.method for task in measured[:4]} == {"original", "retrained", "ft", "ga"}


@pytest.mark.slow
def test_commands_for_other_forget_sets_know_the_task_by_the_same_name(tmp_path: Path) -> None:
    """So that one waits for the other; of the default forget set it is the name that it always had."""
    ids = [
        {task.method: planner.task_id(task) for task in planner.tasks if task.stage == "reference" and task.seed == 0}
        for planner in (planned(tmp_path, f"forget.ratio={ratio}") for ratio in (0.1, 0.2))
    ]
    assert ids[0]["original"] == ids[1]["original"] and ids[0]["retrained"] != ids[1]["retrained"]
    evaluated = Task("evaluate", 0, "original", 0)
    assert planned(tmp_path).task_id(evaluated) != planned(tmp_path, "forget.ratio=0.2").task_id(evaluated)


def test_a_plan_without_files_assumes_no_attributes(tmp_path: Path) -> None:
    """What was published of a dataset is its size and its number of classes; the rest is in the files."""

    def planner(*forget: str) -> Planner:
        command = [f"dataset.root={tmp_path}", "dataset=cifar10", "search=none", f"results={tmp_path}", *forget]
        return Planner(read_command(command).sweep, Progress(quiet=True), only_plan=True)

    one_class = planner("forget=classes", "forget.classes=[3]")
    assert one_class.sizes(0)["forget"] == one_class.splits(0).of(0).sizes["forget"] > 4000
    assert "cifar10" in one_class.missing
    with pytest.raises(MissingData, match="cifar10 is not there"):
        planner("forget=where", "forget.where={coarse: fish}").sizes(0)


def test_an_ensemble_is_of_an_original_and_what_forget_samples_changed_of_the_model_that_forgets(
    tmp_path: Path,
) -> None:
    halves = ("method=amnesiac,sisa", "forget=halves", "forget.halvings=12", "forget.parts=4")
    command = read_command(["dataset=digits", "arch=smallnet", "search=none", f"results={tmp_path}", *halves])
    planner = Planner(command.sweep, Progress(quiet=True))
    recorded = [task for task in planner.tasks if task.stage == "record"]
    assert sum(task.method == "sisa" for task in recorded) == 12
    assert sum(task.method == "amnesiac" for task in recorded) == 48


def test_the_original_of_each_seed_is_watched_for_a_method_that_goes_by_difficulty(tmp_path: Path) -> None:
    """Watched, it is there, and is not trained a second time; a forget set that goes by it shares the one of seed 0."""
    planner = planned(tmp_path, "method=ft,rum", "forget=random,difficulty", "forget.random.ratio=0.1,0.2")
    watched = [task for task in planner.tasks if task.stage == "confidence"]
    assert watched == [Task("confidence", 0, "original", 0), Task("confidence", 0, "original", 1)]
    assert planner.inputs(Task("reference", 0, "original", 1)) == watched[1:]
    assert planner.inputs(Task("reference", 1, "retrained", 1)) == []
    assert planner.inputs(Task("reference", 2, "retrained", 1)) == watched[:1]
    assert planner.inputs(Task("evaluate", 1, "rum", 1))[-1] == watched[1]
    assert not {*planner.inputs(Task("evaluate", 1, "ft", 1))} & {*watched}
    names = [planner.task_id(task) for task in planner.tasks]
    assert len(names) == len(set(names))


def test_a_halving_is_watched_once_for_all_its_parts(tmp_path: Path) -> None:
    halves = ("method=rum", "forget=halves", "forget.halvings=12", "forget.parts=4")
    planner = planned(tmp_path, *halves)
    watched = [task.seed for task in planner.tasks if task.stage == "confidence"]
    assert watched == list(range(0, 48, 4))
    assert planner.inputs(Task("evaluate", 0, "rum", 5))[-1] == Task("confidence", 0, "original", 4)


@pytest.mark.slow
def test_nothing_is_watched_where_memorisation_is_stored(tmp_path: Path) -> None:
    scores = np.linspace(0, 1, 1438)
    put_bank(tmp_path / "bank", scores, np.arange(1438), digits_labels(tmp_path))
    by_bank = planned(tmp_path, "method=rum", f"rum.bank={tmp_path / 'bank'}")
    assert not [task for task in by_bank.tasks if task.stage == "confidence"]
    keys, method = by_bank.keys[0], by_bank.methods["rum"]
    values, usual = method.complete({}), planned(tmp_path, "method=rum").methods["rum"]
    by_confidence = keys.unlearned(usual, values, 0)
    assert len({keys.unlearned(method, values, 0).hash, by_confidence.hash}) == 2
    assert by_confidence.difficulty == keys.confidence_of(0).hash != keys.confidence_of(1).hash
    assert keys.unlearned(by_bank.methods["rum"], values, 0).difficulty == keys.unlearned(method, values, 1).difficulty
    assert keys.result_set(by_bank.sweep, method) != keys.result_set(by_bank.sweep, usual)
    assert keys.difficulty(planned(tmp_path).methods["ft"], 0) is None


@pytest.mark.slow
def test_a_bank_without_some_forget_samples_is_refused_before_anything_runs(tmp_path: Path) -> None:
    put_bank(tmp_path / "bank", np.linspace(0, 1, 100), np.arange(100), digits_labels(tmp_path))
    with pytest.raises(ConfigError, match=r"rum\.bank has no score for [\d,]+ forget sample"):
        check(planned(tmp_path, "method=rum", f"rum.bank={tmp_path / 'bank'}"))
    with pytest.raises(ConfigError, match=r"no memorisation scores in rum\.bank"):
        planned(tmp_path, "method=rum", f"rum.bank={tmp_path / 'nowhere'}")


def digits_labels(folder: Path) -> npt.NDArray[np.int64]:
    return planned(folder).data(0).train_labels


def test_a_failure_is_of_the_hyper_parameters_it_came_with(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    given = ("method=ft", "seeds=1", f"hparams={values}")
    values.write_text("digits/smallnet/ft: {lr: 1e9, epochs: 1}")
    first = planned(tmp_path, *given)
    (task,) = (one for one in first.tasks if one.method == "ft")
    first.note(task, "failed", "Diverged", "the loss is not finite", "")
    assert first.state(task) == planned(tmp_path, *given).state(task) == "failed"

    values.write_text("digits/smallnet/ft: {lr: 0.01, epochs: 1}")
    assert planned(tmp_path, *given).state(task) == "to do", "it has not been tried with these"
