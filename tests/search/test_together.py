"""Trials that run at once: the same as one by one, whatever ends, diverges, fails or is killed among them."""

from __future__ import annotations

import math
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from deepunlearn.core.errors import Diverged
from deepunlearn.search.slots import seconds_of
from deepunlearn.search.study import ERRORS_ALIKE, GIVEN_UP, SlotStudy
from tests.search.arithmetic import METHOD, FakeExperiment, pretend_the_owner_died, run, search, values

pytestmark = pytest.mark.usefixtures("arithmetic_score")

TOGETHER = {"sampler": "nsga3", "objective": "four", "population_size": 5, "trials": 13, "storage": "journal"}


def diverging(x: float) -> None:
    if 0.4 < x < 0.6:
        raise Diverged("no end", given=x, allowed="less", remedy="less")


def test_trials_that_run_together_are_those_that_run_one_by_one(tmp_path: Path) -> None:
    """Also where generations end within a group, and where some diverge."""
    alone, _ = run(tmp_path / "alone", search(**TOGETHER), diverging)
    study, experiment = run(tmp_path / "together", search(**TOGETHER, together=4), diverging)
    assert values(study) == values(alone)
    states = [[trial.state for _, trial in sorted(one.finished().items())] for one in (study, alone)]
    assert states[0] == states[1] and TrialState.FAIL in states[0]
    assert len(study.trials()) == 13, "none is made in vain"
    for group in experiment.groups:
        assert len({params["batch_size"] for params in group}) == 1 and len(group) <= 4
        assert [params["epochs"] for params in group] == sorted((params["epochs"] for params in group), reverse=True)
    assert max(map(len, experiment.groups)) > 1
    sizes = [trial.user_attrs.get("together", 1) for trial in study.finished().values() if trial.values]
    scored = [[params for params in group if not 0.4 < params["x"] < 0.6] for group in experiment.groups]
    assert Counter(sizes)[1] == len(sizes) - sum(map(len, scored)), "a trial that has no other to run with runs alone"


def test_seconds_of_trials_that_run_together_add_up_to_those_that_passed(tmp_path: Path) -> None:
    """Each begins when the first does, and would count the whole group as its own."""
    settings = search(**{**TOGETHER, "trials": 5}, together=5)
    began = time.perf_counter()
    study, experiment = run(tmp_path, settings, lambda _: time.sleep(0.1))
    passed = time.perf_counter() - began
    assert max(map(len, experiment.groups)) > 1
    assert 0.5 <= sum(seconds_of(trial) or math.inf for trial in study.finished().values()) <= passed
    alone, _ = run(tmp_path / "alone", search(trials=1))
    (trial,) = alone.finished().values()
    assert trial.duration and seconds_of(trial) == trial.duration.total_seconds()


def test_what_goes_wrong_for_all_is_recorded_with_each(tmp_path: Path) -> None:
    settings = search(**TOGETHER, together=4)
    experiment = FakeExperiment(tmp_path, settings, _no_memory)
    study = SlotStudy(experiment, METHOD, settings, (0,))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="no memory"):
        study.run()
    failed = [trial for trial in study.trials() if trial.state == TrialState.FAIL]
    assert [trial.user_attrs["reason"] for trial in failed] == ["RuntimeError: no memory"] * ERRORS_ALIKE
    assert len(experiment.asked) < len(failed), "a group fails once, and all of its trials with it"
    assert not study.finished()


def _no_memory(x: float) -> None:
    raise RuntimeError("no memory")


def test_two_workers_together_take_no_more_than_a_generation(tmp_path: Path) -> None:
    """Of population 5 the second one takes what the first has left."""
    settings = search(**TOGETHER, together=4)
    first, second = (SlotStudy(FakeExperiment(tmp_path, settings), METHOD, settings, (0,)) for _ in range(2))  # type: ignore[arg-type]
    taken = first._claim_some()
    for slot in taken:
        first._start(slot)
    assert taken == [0, 1, 2, 3] and second._claim_some() == [4]


def test_those_that_were_given_up_for_dead_meanwhile_are_left_out_of_a_group(tmp_path: Path) -> None:
    """Another worker buries them, and runs their slots again."""
    settings = search(**TOGETHER, together=4)
    experiment = FakeExperiment(tmp_path, settings)
    study = SlotStudy(experiment, METHOD, settings, (0,))  # type: ignore[arg-type]
    start, living = study._start, {1}

    def buried(slot: int) -> tuple[optuna.Study, optuna.Trial]:
        begun = start(slot)
        if slot not in living:
            study._bury(slot)
        return begun

    study._start = buried  # type: ignore[method-assign]
    study._run_slots(study._claim_some())
    assert list(study.finished()) == [1] and len(experiment.asked) == 1
    assert study._run_slots([5, 6]) == GIVEN_UP


def test_what_cannot_run_together_runs_one_by_one(tmp_path: Path) -> None:
    settings = search(**{**TOGETHER, "trials": 3}, together=4)
    experiment = FakeExperiment(tmp_path, settings)
    experiment.why_apart = "its step is for one"
    SlotStudy(experiment, METHOD, settings, (0,)).run()  # type: ignore[arg-type]
    assert len(experiment.asked) == 3 and not experiment.groups


@pytest.mark.slow
def test_killed_and_resumed_together_equals_unbroken(tmp_path: Path) -> None:
    settings = search(**TOGETHER, together=4)
    unbroken, _ = run(tmp_path / "unbroken", settings)
    count = 0

    def interrupted(x: float) -> None:
        nonlocal count
        count += 1
        if count in (3, 9):
            raise KeyboardInterrupt

    for _ in range(3):
        try:
            study, _ = run(tmp_path / "broken", settings, interrupted)
        except KeyboardInterrupt:
            pretend_the_owner_died(tmp_path / "broken")
    assert values(study) == values(unbroken)
