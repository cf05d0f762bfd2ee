"""What is submitted to a cluster, and who works where, without a cluster."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.launch import sbatch, slurm
from deepunlearn.launch.estimate import Estimator, cluster_speeds
from deepunlearn.launch.local import Local
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.speed_file import Speed, SpeedFile, Timed, speed_name
from tests.commands import sweep


def planner_of(root: Path, *arguments: str) -> Planner:
    """Digits, which need no files."""
    work = ["method=ft,msg", "seeds=4", "search=quick", "search.trials=5", "arch=smallnet", "train.epochs=10"]
    command = read_command([*work, f"results={root}", "launcher=slurm", *arguments])
    return Planner(command.sweep, Progress(quiet=True))


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


def test_estimates_rest_on_what_nodes_of_that_kind_measured(tmp_path: Path) -> None:
    planner = planner_of(tmp_path, "launcher.images_per_second=1000")
    launcher, (cell,) = planner.sweep.launcher, planner.sweep.cells
    assert isinstance(launcher, SlurmLauncher)
    known = SpeedFile(planner.results.cache)
    known.put(speed_name(cell, "Some Processor cpu 4"), Timed(Speed(50, 100)))
    assert cluster_speeds(planner, launcher) == [Speed(1000, 3000)], "a login node's CPU says nothing about GPUs"
    known.put(speed_name(cell, "Some Processor NVIDIA X 4"), Timed(Speed(7000, 9000)))
    assert cluster_speeds(planner, launcher) == [Speed(7000, 9000)]
    on_cpus = launcher.model_copy(update={"gpus": 0})
    assert cluster_speeds(planner, on_cpus) == [Speed(50, 100)]


def local(gpus: int, halves: bool = False, **launcher: Any) -> Local:
    settings = {"workers": None, "workers_per_gpu": 1, "workers_per_study": 1, **launcher}
    sweep = SimpleNamespace(launcher=SimpleNamespace(**settings))
    planner: Any = SimpleNamespace(sweep=sweep, timed=not halves)
    visible = [{"CUDA_VISIBLE_DEVICES": str(number)} for number in range(gpus)]
    return Local(planner, Path(), Progress(quiet=True), visible, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gpus", "launcher", "searching", "evaluating"),
    [
        (0, {}, 1, 1),
        (0, {"workers": 3}, 3, 1),
        (0, {"workers_per_gpu": 4}, 1, 1),
        (2, {}, 2, 2),
        (2, {"workers_per_gpu": 4}, 8, 2),
        (2, {"workers": 5}, 5, 2),
    ],
)
def test_searches_share_devices_and_timed_unlearning_does_not(
    gpus: int, launcher: dict[str, int], searching: int, evaluating: int
) -> None:
    made = local(gpus, **launcher)
    assert (made.workers("search"), made.workers("evaluate"), made.workers("select")) == (searching, evaluating, 1)
    assert local(gpus, halves=True, **launcher).workers("evaluate") == searching, "U-LiRA times nothing"


def test_workers_take_the_gpus_in_turn_and_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    environments = local(2, workers_per_gpu=2)._environments(4)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in environments] == ["0", "1"]
    assert {one["OMP_NUM_THREADS"] for one in environments} == {"2"}
    assert local(0, workers=3)._environments(3) == [{"OMP_NUM_THREADS": "2"}]


def test_slurm_journals_and_its_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planner_of(tmp_path).sweep.search.storage == "journal"
    assert planner_of(tmp_path, "search.storage=sqlite").sweep.search.storage == "sqlite"
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="no sbatch"):
        slurm.check_cluster()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["launcher=slrum"], "slurm"),
        (["launcher=slurm", "launcher.minutes=0"], "launcher.minutes"),
        (["launcher.workers=0"], "launcher.workers"),
        (["launcher.partition=gpu"], "launcher.partition"),
    ],
)
def test_wrong_launchers(tmp_path: Path, arguments: list[str], named: str) -> None:
    done = sweep(tmp_path, *arguments)
    assert done.returncode == 2 and named in done.stderr and "Traceback" not in done.stderr, done.stderr
