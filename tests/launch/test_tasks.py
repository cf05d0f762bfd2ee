"""Tasks and their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.config import read_command
from deepunlearn.core.errors import MissingData
from deepunlearn.core.progress import Progress
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.tasks import Task


def test_a_tasks_name_can_be_read_back() -> None:
    task = Task("evaluate", 3, "msg", None)
    assert Task.parse(str(task)) == task


def planned(folder: Path, *arguments: str) -> Planner:
    small = ("dataset=digits", "arch=smallnet", "method=ft,ga", "search=none", "seeds=2", f"results={folder}")
    return Planner(read_command([*small, *arguments]).sweep, Progress(quiet=True))


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
