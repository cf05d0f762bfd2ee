"""Studies made of slots, on a real SQLite storage, of methods that are arithmetic instead of training."""

from __future__ import annotations

import csv
import math
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from deepunlearn.core.claims import this_process
from deepunlearn.core.errors import Diverged, NotApplicable
from deepunlearn.search import study as study_module
from deepunlearn.search.selection import completed, trials_table
from deepunlearn.search.study import SlotStudy
from tests.commands import LIMIT, SERVER, until
from tests.search.arithmetic import (
    METHOD,
    STARTS,
    FakeExperiment,
    arithmetic,
    pretend_the_owner_died,
    run,
    search,
    values,
)

pytestmark = pytest.mark.usefixtures("arithmetic_score")


@pytest.mark.slow
def test_exactly_n_trials_and_no_more_on_a_second_call(tmp_path: Path) -> None:
    study, _ = run(tmp_path, search())
    assert sorted(study.finished()) == list(range(8))
    again, experiment = run(tmp_path, search())
    assert experiment.asked == []
    assert len(again.trials()) == 8


@pytest.mark.slow
def test_a_study_can_be_extended(tmp_path: Path) -> None:
    first, _ = run(tmp_path, search(trials=4))
    more, experiment = run(tmp_path, search(trials=8))
    assert len(experiment.asked) == 4
    assert values(more)[:4] == values(first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "objective", "population", "storage"),
    [
        ("tpe", "sum", None, "sqlite"),
        ("nsga3", "four", 4, "sqlite"),
        ("cmaes", "sum", 4, "journal"),
        ("gp", "sum", None, "journal"),
    ],
)
def test_killed_and_resumed_equals_unbroken(
    tmp_path: Path, sampler: str, objective: str, population: int, storage: str
) -> None:
    settings = search(sampler=sampler, objective=objective, population_size=population, trials=14, storage=storage)
    unbroken, _ = run(tmp_path / "unbroken", settings)
    count = 0

    def interrupted(x: float) -> None:
        nonlocal count
        count += 1
        if count in (3, 6, 12):  # the sixth is the first of a generation of four
            raise KeyboardInterrupt

    for _ in range(4):
        try:
            study, _ = run(tmp_path / "broken", settings, interrupted)
        except KeyboardInterrupt:
            pretend_the_owner_died(tmp_path / "broken")
    assert values(study) == values(unbroken)
    assert len(study.trials()) == 14 + 3, "the three lost trials stay on record"


@pytest.mark.slow
def test_a_shared_study_is_on_all_seeds_in_turn_also_when_it_was_killed(tmp_path: Path) -> None:
    seeds, count = (10, 11, 12), 0

    def interrupted(x: float) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt

    experiment = FakeExperiment(tmp_path, search(), interrupted, STARTS)
    with pytest.raises(KeyboardInterrupt):
        SlotStudy(experiment, METHOD, search(), seeds).run()  # type: ignore[arg-type]
    pretend_the_owner_died(tmp_path)
    study = SlotStudy(experiment, METHOD, search(), seeds)  # type: ignore[arg-type]
    study.run()
    drawn = [study.seed_of(slot) for slot in range(8)]
    assert experiment.seeds == [*drawn[:4], *drawn[3:]], "the lost trial ran again, on the same seed"
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == list(seeds)
    assert {trial.user_attrs["seed"] == drawn[slot] for slot, trial in study.finished().items()} == {True}
    lines = list(csv.DictReader(trials_table([study]).splitlines()))
    assert [int(line["seed"]) for line in lines] == drawn
    assert [line["origin"] for line in lines] == ["defaults", "digits/resnet18", *[""] * 6]
    first, second = (study.finished()[slot].params for slot in (0, 1))
    assert first == STARTS["defaults"]
    assert (second["x"], second["epochs"]) == (1.0, 8), "at the end of the range where they lie outside"
    assert second["batch_size"] in (64, 128), "drawn, since nothing was said of it"
    unbroken = SlotStudy(FakeExperiment(tmp_path / "other", search(), starts=STARTS), METHOD, search(), seeds)  # type: ignore[arg-type]
    unbroken.run()
    assert values(study) == values(unbroken)
    assert {one.seed for one in completed(study)} == set(seeds)


@pytest.mark.slow
def test_mostly_diverging_trials_end_and_are_finished_without_scores(tmp_path: Path) -> None:
    def diverge(x: float) -> None:
        if x > 0.1:
            raise Diverged("the loss is not finite")

    study, experiment = run(tmp_path, search(sampler="nsga3", objective="four", population_size=4, trials=12), diverge)
    assert len(experiment.asked) == 12
    failed = [trial for trial in study.finished().values() if trial.state == TrialState.FAIL]
    assert len(failed) > 6
    assert all(trial.values is None and "not finite" in trial.user_attrs["reason"] for trial in failed)
    assert all(math.isfinite(one.losses.norm) for one in completed(study))


def test_errors_do_not_count_are_kept_and_end_the_study_after_ten_alike(tmp_path: Path) -> None:
    def err(x: float) -> None:
        raise ZeroDivisionError(f"ours, at trial {len(experiment.asked)} of 0x7f{len(experiment.asked)}")

    experiment = FakeExperiment(tmp_path, search(), err)
    study = SlotStudy(experiment, METHOD, search(), (0,))  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError, match="ours"):
        study.run()
    assert len(experiment.asked) == 10
    assert study.finished() == {}
    assert all("ZeroDivisionError" in trial.user_attrs["traceback"] for trial in study.trials())
    assert {trial.user_attrs["slot"] for trial in study.trials()} == {0}, "a retry keeps its slot"


@pytest.mark.slow
def test_a_passing_error_is_retried_in_its_slot(tmp_path: Path) -> None:
    count = 0

    def err_once(x: float) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise OSError("passing")

    study, experiment = run(tmp_path / "a", search(), err_once)
    smooth, _ = run(tmp_path / "b", search())
    assert len(experiment.asked) == 9
    assert values(study) == values(smooth)


def test_a_method_that_cannot_run_ends_the_study_at_once(tmp_path: Path) -> None:
    def refuse(x: float) -> None:
        raise NotApplicable("no convolutions")

    experiment = FakeExperiment(tmp_path, search(), refuse)
    with pytest.raises(NotApplicable):
        SlotStudy(experiment, METHOD, search(), (0,)).run()  # type: ignore[arg-type]
    assert len(experiment.asked) == 1


@pytest.mark.slow
def test_hopeless_trials_are_pruned_at_half_of_their_epochs_and_count(tmp_path: Path) -> None:
    epochs_seen: list[int] = []
    settings = search(prune=True, trials=30)
    experiment = FakeExperiment(tmp_path, settings)
    study = SlotStudy(experiment, METHOD, settings, (0,))  # type: ignore[arg-type]
    study.run()
    pruned = [trial for trial in study.finished().values() if trial.state == TrialState.PRUNED]
    assert len(study.finished()) == 30
    assert pruned, "with 30 trials some lie above the median"
    assert all(min(trial.intermediate_values) >= 50 for trial in study.trials() if trial.intermediate_values)
    assert len(completed(study)) == 30 - len(pruned), "a pruned trial cannot win"
    assert epochs_seen == []


HALVING = {"prune": True, "pruner": "halving", "trials": 12, "storage": "journal"}


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> SlotStudy:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_module, "score_model", arithmetic)
        return run(tmp_path_factory.mktemp("halved"), search(**HALVING))[0]


@pytest.mark.slow
def test_halving_ends_trials_at_each_rung_and_says_what_was_scored(halved: SlotStudy) -> None:
    study = halved
    trials = study.finished().values()
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert {step for trial in trials for step in trial.intermediate_values} == {25, 50}
    assert {max(trial.intermediate_values) for trial in pruned} == {25, 50}, "some at the second rung"
    for trial in pruned:
        told, epochs = trial.user_attrs["fidelity"], trial.params["epochs"]
        assert told["epochs"] == epochs and told["epoch"] < epochs and told["samples"] == 60
        assert told["epoch"] == math.ceil(epochs * max(trial.intermediate_values) / 100)
        assert told["sum"] == trial.value == arithmetic(None, trial.params["x"], 0).sum
    whole = [trial.user_attrs["fidelity"] for trial in trials if trial.state == TrialState.COMPLETE]
    assert whole and all(told["epoch"] == told["epochs"] for told in whole)
    lines = [(int(line["slot"]), line["epoch"]) for line in csv.DictReader(trials_table([study]).splitlines())]
    told = {slot: trial.user_attrs["fidelity"]["epoch"] for slot, trial in study.finished().items()}
    assert lines == [(slot, str(epoch)) for slot, epoch in sorted(told.items())]


@pytest.mark.slow
def test_what_a_killed_trial_has_reported_does_not_count_at_a_rung(halved: SlotStudy, tmp_path: Path) -> None:
    settings, unbroken = search(**HALVING), halved
    dying = {slot for slot, trial in unbroken.finished().items() if trial.intermediate_values}
    for _ in range(len(dying) + 1):
        experiment = DyingAfterALook(tmp_path / "broken", settings)
        study = SlotStudy(experiment, METHOD, settings, (0,))  # type: ignore[arg-type]
        with suppress(KeyboardInterrupt):
            study.run()
        pretend_the_owner_died(tmp_path / "broken")
    assert states(study) == states(unbroken)
    assert values(study) == values(unbroken)
    assert len(study.trials()) == 12 + len(dying), "the lost trials stay on record"


def states(study: SlotStudy) -> list[TrialState]:
    return [trial.state for _, trial in sorted(study.finished().items())]


class DyingAfterALook(FakeExperiment):
    """Dies in each trial that was looked at, the first time that it runs."""

    def unlearn(self, method: Any, params: dict[str, Any], seed: int, on_epoch: Any = None, earlier: Any = None) -> Any:
        seen = self.results.root / "seen"
        seen.mkdir(exist_ok=True, parents=True)
        mark = seen / f"{params['x']:.17f}"

        def dying(epoch: int, x: float) -> None:
            try:
                on_epoch(epoch, x)
            finally:
                if epoch >= params["epochs"] / 4 and epoch < params["epochs"] and not mark.exists():
                    mark.touch()
                    raise KeyboardInterrupt

        return super().unlearn(method, params, seed, on_epoch and dying)


def test_a_live_claim_is_respected_and_a_dead_one_taken_over(tmp_path: Path) -> None:
    study = SlotStudy(FakeExperiment(tmp_path, search()), METHOD, search(), (0,))  # type: ignore[arg-type]
    for slot, owner in (("0000", this_process()), ("0001", this_process()._replace(pid=4194000))):
        folder = tmp_path / "search" / "claims" / study.name / slot
        folder.mkdir(parents=True)
        (folder / "0000").write_text(str(owner))
    study.run()
    assert sorted(study.finished()) == list(range(1, 8)), "slot 0 belongs to a live worker, slot 1 did to a dead one"


def test_all_claims_are_given_back(tmp_path: Path) -> None:
    run(tmp_path, search())
    assert not [path for path in (tmp_path / "search" / "claims").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_worker_taken_for_dead_goes_on_with_the_next_slot(tmp_path: Path) -> None:
    """Its trial was ended by another worker, which runs the slot again; what it found is discarded."""
    study_of: list[SlotStudy] = []

    def bury_the_third(x: float) -> None:
        trial = study_of[0].trials()[-1]
        if trial.number == 2:
            study_of[0].storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    experiment = FakeExperiment(tmp_path, search(), bury_the_third)
    study_of.append(SlotStudy(experiment, METHOD, search(), (0,)))  # type: ignore[arg-type]
    study_of[0].run()
    assert sorted(study_of[0].finished()) == list(range(8))
    assert len(study_of[0].trials()) == 9, "the slot was run again, once"


def work(root: Path, storage: str, trials: int, seconds: float, all_there: Any) -> None:
    """What a worker does, once all are there: else the first might have done it all."""
    study_module.score_model = arithmetic
    all_there.wait()
    run(root, search(trials=trials, storage=storage), lambda x: time.sleep(seconds))


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["sqlite", "journal", "postgres"])
def test_three_workers_one_killed_mid_trial_finish_exactly_n(
    tmp_path: Path, storage: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres") if storage == "postgres" else storage
    settings = search(storage=url)
    SlotStudy(FakeExperiment(tmp_path, settings), METHOD, settings, (0,))  # type: ignore[arg-type]
    all_there = SERVER.Barrier(3)
    workers = [SERVER.Process(target=work, args=(tmp_path, url, 18, 0.3, all_there)) for _ in range(3)]
    for one in workers:
        one.start()
    held = tmp_path / "search" / "claims"
    until(lambda: any(f":{workers[0].pid}:" in path.read_text() for path in files(held)))
    workers[0].kill()
    for one in workers:
        one.join(LIMIT)
    assert [one.exitcode for one in workers] == [-signal.SIGKILL, 0, 0]
    settings = search(storage=url, trials=18)
    study = SlotStudy(FakeExperiment(tmp_path, settings), METHOD, settings, (0,))  # type: ignore[arg-type]
    finished = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    assert sorted(trial.user_attrs["slot"] for trial in finished) == list(range(18)), "each once, none lost"
    assert not [trial for trial in study.trials() if trial.state == TrialState.RUNNING]
    assert len({trial.user_attrs["owner"] for trial in finished}) >= 2, "several took part"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]


def test_numpy_is_not_leaked_into_params(tmp_path: Path) -> None:
    study, _ = run(tmp_path, search(trials=2))
    for trial in study.trials():
        assert not any(isinstance(value, np.generic) for value in trial.user_attrs["params"].values())
