"""Estimates of what a sweep takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.launch.estimate import TRIAL_OVERHEAD, Estimator, cluster_speeds
from deepunlearn.launch.speed_file import Speed, SpeedFile, Timed, speed_name
from tests.launch.sweeps import planner_of


def test_estimates_rest_on_what_nodes_of_that_kind_measured(tmp_path: Path) -> None:
    planner = planner_of(tmp_path, "launcher.images_per_second=1000")
    launcher, (cell,) = planner.sweep.launcher, planner.sweep.cells
    assert isinstance(launcher, SlurmLauncher)
    known = SpeedFile(planner.results.cache)
    known.put(speed_name(cell, 32, "Some Processor cpu 4"), Timed(Speed(50, 100)))
    assert cluster_speeds(planner, launcher) == [Speed(1000, 3000)], "a login node's CPU says nothing about GPUs"
    known.put(speed_name(cell, 32, "Some Processor NVIDIA X 4"), Timed(Speed(7000, 9000)))
    assert cluster_speeds(planner, launcher) == [Speed(7000, 9000)]
    on_cpus = launcher.model_copy(update={"gpus": 0})
    assert cluster_speeds(planner, on_cpus) == [Speed(50, 100)]


def test_a_thrifty_search_by_hand(tmp_path: Path) -> None:
    """1,100 retain, 122 forget and 216 validation samples, eight epochs, 1,000 samples a second.

    Looks after the second and the fourth epoch leave a half and a quarter of the trials: 2 + 2/2 + 4/4 epochs, 1 + 1/2
    looks at 512 + 122 + 216 samples, and a quarter of the whole score. Selection runs three candidates on three seeds.
    """
    planner = planner_of(tmp_path, "method=ft", "search=thrifty", "method.params.epochs=8")
    assert [planner.sizes(0)[part] for part in ("retain", "forget", "val")] == [1100, 122, 216]
    seconds = {task.stage: Estimator(planner, [Speed(1000, 1000)]).task(task) for task in planner.tasks}
    assert seconds["search"] == pytest.approx(5 * (4 * 1.1 + 1.5 * 0.85 + 0.25 * 1.438 + TRIAL_OVERHEAD))
    assert seconds["select"] == pytest.approx(9 * (8 * 1.1 + 1.438 + TRIAL_OVERHEAD))


def test_a_method_that_counts_steps_takes_as_long_on_any_number_of_samples(tmp_path: Path) -> None:
    """1,500 steps of 128 samples, times the cost of one against a plain one."""
    planner = planner_of(tmp_path, "method=sfron", "search=none")
    task = next(task for task in planner.tasks if task.stage == "evaluate" and task.method == "sfron")
    seconds = Estimator(planner, [Speed(1000, 1e9)]).task(task)
    assert abs(seconds - 1500 * 128 * 2.0 / 1000) < 1


def test_what_a_call_takes_beside_its_epochs_counts_once(tmp_path: Path) -> None:
    """AMUN attacks as long as 13 epochs of 1,100 samples take, and then has epochs of 1.25; of a pruned trial the
    attack counts in full, and of a chain that of each step."""
    fixed = "method.params.epochs=8"
    planner = planner_of(tmp_path, "method=amun", "search=thrifty", fixed)
    seconds = {task.stage: Estimator(planner, [Speed(1000, 1e9)]).task(task) for task in planner.tasks}
    assert seconds["search"] == pytest.approx(5 * ((13 + 3 * 1.25) * 1.1 + TRIAL_OVERHEAD), rel=0.1)
    assert seconds["select"] == pytest.approx(9 * ((13 + 8 * 1.25) * 1.1 + TRIAL_OVERHEAD), rel=1e-3)
    (chained,) = planner_of(tmp_path, "method=chain", "chain.steps=[amun,ft,amun]", "search=none").sweep.methods
    assert chained.call_cost == 26.0


def test_a_value_that_was_fixed_counts_before_the_others_are_searched(tmp_path: Path) -> None:
    fixed = ("method.params.steps=10", "method.params.batch_size=64")
    planner = planner_of(tmp_path, "method=sfron", "search=quick", *fixed)
    task = next(task for task in planner.tasks if task.stage == "evaluate" and task.method == "sfron")
    assert Estimator(planner, [Speed(1000, 1e9)]).task(task) < 10 * 64 * 1.25 / 1000 + 1


def test_operations_are_counted_for_one_seed_of_each_method(tmp_path: Path) -> None:
    planner = planner_of(tmp_path, "method=ft,ct", "search=none", "seeds=3", "measures=[flops]")
    tasks = [task for task in planner.tasks if task.stage == "measure" and task.method == "ft"]
    estimator = Estimator(planner, [Speed(1000, 1000)])
    for _ in range(2):  # asked again, it says the same
        first, *others = map(estimator.task, tasks)
        assert len(others) == 2 and first > 1.1 * 5 > 1 > max(others), "an epoch of FT is 1,100 samples"
    both = [task for task in planner.tasks if task.stage == "measure"]
    assert estimator.stage("measure") == pytest.approx(sum(map(estimator.task, both)))
