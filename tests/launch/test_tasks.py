"""Tasks and their names."""

from __future__ import annotations

from pathlib import Path

from deepunlearn.config import read_command
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


def test_commands_for_other_forget_sets_know_the_task_by_the_same_name(tmp_path: Path) -> None:
    """So that one waits for the other; of the default forget set it is the name that it always had."""
    ids = [
        {task.method: planner.task_id(task) for task in planner.tasks if task.stage == "reference" and task.seed == 0}
        for planner in (planned(tmp_path, f"forget.ratio={ratio}") for ratio in (0.1, 0.2))
    ]
    assert ids[0]["original"] == ids[1]["original"] and ids[0]["retrained"] != ids[1]["retrained"]
    evaluated = Task("evaluate", 0, "original", 0)
    assert planned(tmp_path).task_id(evaluated) != planned(tmp_path, "forget.ratio=0.2").task_id(evaluated)
