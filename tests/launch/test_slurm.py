"""What is submitted to SLURM, without a SLURM; tests on a real one are in test_cluster.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.launch import sbatch, slurm
from deepunlearn.launch.estimate import Estimator, cluster_speeds
from deepunlearn.launch.plan import Planner
from tests.launch.sweeps import planner_of


def arrays_of(planner: Planner) -> tuple[list[slurm.Array], Estimator]:
    launcher = planner.sweep.launcher
    assert isinstance(launcher, SlurmLauncher)
    estimator = Estimator(planner, cluster_speeds(planner, launcher))
    return slurm.arrays(planner, estimator, planner.tasks, launcher), estimator


@pytest.mark.slow
@pytest.mark.parametrize("minutes", [0.001, 0.05, 0.2, 1000])
def test_every_task_is_in_one_job_and_no_job_is_longer_than_asked_unless_its_task_is(
    tmp_path: Path, minutes: float
) -> None:
    planner = planner_of(tmp_path, f"launcher.minutes_per_job={minutes}", "launcher.images_per_second=2000")
    made, estimator = arrays_of(planner)
    submitted = [task for array in made for job in array.bundles for task in job if task.stage != "select"]
    assert sorted(map(str, submitted)) == sorted(str(task) for task in planner.tasks if task.stage != "select")
    for array in made:
        for job in array.bundles:
            own = [task for task in job if task.stage != "select"]
            assert len(own) == 1 or sum(map(estimator.task, own)) <= minutes * 60
    selected = {task.method for job in made[-1].bundles for task in job if task.stage == "select"}
    assert selected == {"ft", "msg"}, "evaluations bring the selections that they need"


def test_long_stages_become_several_arrays(tmp_path: Path) -> None:
    planner = planner_of(tmp_path, "launcher.minutes_per_job=0.0001", "launcher.max_array_size=3")
    made, _ = arrays_of(planner)
    assert [(array.stage, len(array.bundles)) for array in made] == [
        *[("reference", 3), ("reference", 3), ("reference", 2)],
        ("search", 2),
        *[("evaluate", 3)] * 5,
        ("evaluate", 1),
    ]


def test_the_longest_job_is_told_with_its_selection(tmp_path: Path) -> None:
    """A robust one runs its candidates again."""
    planner = planner_of(tmp_path, "search=thrifty", "protocol=heldout", "launcher.minutes_per_job=0.0001")
    made, estimator = arrays_of(planner)
    selections = [estimator.task(task) for task in planner.tasks if task.stage == "select"]
    longest = max(array.minutes for array in made if array.stage == "evaluate")
    assert min(selections) > 1 and longest * 60 >= max(selections)


def test_each_worker_of_a_shared_study_has_a_job(tmp_path: Path) -> None:
    made, _ = arrays_of(planner_of(tmp_path, "launcher.workers_per_study=3"))
    (search,) = [array for array in made if array.stage == "search"]
    assert sorted(job[0].method for job in search.bundles) == ["ft"] * 3 + ["msg"] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "alone"),
    [
        (["launcher.gpus=0"], {"evaluate"}),
        (["launcher.gpus=1"], set()),
        (["launcher.gpus=0", "launcher.gres=gpu:1"], set()),
        (["launcher.gpus=0", "forget=halves", "forget.halvings=12", "forget.parts=2", "protocol=paper"], set()),
    ],
)
def test_what_is_timed_on_cpus_has_its_node_alone(tmp_path: Path, given: list[str], alone: set[str]) -> None:
    """A GPU belongs to one job anyway, and U-LiRA times nothing."""
    planner = planner_of(tmp_path, *given)
    made, _ = arrays_of(planner)
    assert {array.stage for array in made if array.alone} == alone
    launcher = planner.sweep.launcher
    assert isinstance(launcher, SlurmLauncher)
    for array in made:
        chosen = sbatch.parameters(launcher, array.stage, [], array.alone)["additional_parameters"]
        assert chosen.get("exclusive", False) == (array.stage in alone)
    assert ("alone on its node" in slurm.describe(made, launcher)) == bool(alone)


def test_slurm_journals_and_its_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planner_of(tmp_path).sweep.search.storage == "journal"
    assert planner_of(tmp_path, "search.storage=sqlite").sweep.search.storage == "sqlite"
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="no sbatch"):
        slurm.check_cluster()
