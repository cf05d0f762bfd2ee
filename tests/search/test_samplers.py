"""What the samplers propose: generations and first trials, however many trials diverge."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, get_args

import optuna
import pytest
from optuna.trial import TrialState

from deepunlearn.core.errors import Diverged
from deepunlearn.core.search_config import SearchConfig
from deepunlearn.core.seeding import derive_seed32
from deepunlearn.search import study as study_module
from deepunlearn.search.samplers import GENERATION, SAMPLERS, generation_of, independent, make_sampler, next_generation
from deepunlearn.search.selection import trials_table
from deepunlearn.search.study import SlotStudy
from tests.search.arithmetic import RANGES, run, search, values

pytestmark = pytest.mark.usefixtures("arithmetic_score")

NSGA3 = {"sampler": "nsga3", "objective": "four", "population_size": 4, "trials": 12}


def diverge_above(limit: float) -> Any:
    def behave(x: float) -> None:
        if x > limit:
            raise Diverged("the loss is not finite")

    return behave


def generations(study: SlotStudy) -> list[int]:
    return [generation_of(trial) for _, trial in sorted(study.finished().items())]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1.0, 0.6])
def test_diverged_trials_count_for_the_population(tmp_path: Path, limit: float) -> None:
    """So that every method has as many random and as many evolved trials, however many of them diverge."""
    study, _ = run(tmp_path, search(**NSGA3), diverge_above(limit))
    states = [trial.state for _, trial in sorted(study.finished().items())]
    assert (TrialState.FAIL in states[:4]) == (limit < 1) and states[:4].count(TrialState.COMPLETE) >= 2
    assert generations(study) == [0] * 4 + [1] * 4 + [2] * 4
    parents = {trial.params["x"] for slot, trial in study.finished().items() if slot < 4 and trial.values}
    children = [study.finished()[slot].params["x"] for slot in range(4, 8)]
    assert any(child == pytest.approx(parent) for child in children for parent in parents), "they are evolved indeed"


@pytest.mark.slow
def test_a_generation_without_two_scored_trials_goes_on(tmp_path: Path) -> None:
    study, _ = run(tmp_path, search(**NSGA3), diverge_above(0.0))
    assert generations(study) == [0] * 12
    assert len({trial.params["x"] for trial in study.finished().values()}) == 12


@pytest.mark.slow
def test_without_diverged_trials_the_search_is_optunas(tmp_path: Path) -> None:
    study, _ = run(tmp_path, search(**NSGA3))
    plain = optuna.create_study(directions=["minimize"] * 4)
    for slot in range(12):
        seed = derive_seed32("slot", study.key.hash, slot)
        plain.sampler = optuna.samplers.NSGAIIISampler(population_size=4, seed=seed)
        trial = plain.ask()
        for name, limits in RANGES.items():
            study_module.suggest(trial, name, limits)
        x = trial.params["x"]
        plain.tell(trial, [abs(x - 0.3) / 3, x / 3, (1 - x) / 3, abs(x - 0.6)])
    assert [trial.params for trial in plain.trials] == [params for _, params in values(study)]
    sampler = make_sampler(search(**NSGA3), 0, [])
    assert isinstance(sampler, optuna.samplers.NSGAIIISampler)
    optunas = optuna.samplers.NSGAIIISampler._get_generation_key()
    assert sampler._get_generation_key() == GENERATION == optunas, "where it looks for what it is told"


def test_what_an_earlier_rule_left_in_the_first_generation_is_followed_by_the_second() -> None:
    """Optuna's own count left 7 trials, 5 of them diverged, in a generation of 4."""
    earlier = [optuna.trial.create_trial(state=state, values=values, system_attrs={GENERATION: 0})
               for state, values in [(TrialState.COMPLETE, [0.1] * 4)] * 2 + [(TrialState.FAIL, None)] * 5]  # fmt: skip
    assert next_generation(earlier, 4) == 1
    assert next_generation(earlier[:3], 4) == 0


@pytest.mark.parametrize(("finished", "scored", "count"), [(0, 0, 4), (1, 1, 3), (4, 4, 4), (4, 1, 1), (5, 5, 4)])
def test_trials_of_a_generation_do_not_learn_from_each_other(finished: int, scored: int, count: int) -> None:
    """What is left of it; a new one; one at a time where it goes on for want of scored trials."""
    states = [TrialState.COMPLETE] * scored + [TrialState.FAIL] * (finished - scored)
    trials = [
        optuna.trial.create_trial(
            state=state, values=[0.1] * 4 if state == TrialState.COMPLETE else None, system_attrs={GENERATION: 0}
        )
        for state in states
    ]
    assert independent(search(**NSGA3), trials) == count
    assert independent(search(**{**NSGA3, "sampler": "random"}), trials) == 12


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1.0, 0.6])
def test_tpe_begins_with_as_many_random_trials_however_many_diverge(tmp_path: Path, limit: float) -> None:
    study, _ = run(tmp_path, search(trials=14), diverge_above(limit))
    failed = [slot for slot, trial in study.finished().items() if trial.state == TrialState.FAIL and slot < 10]
    assert bool(failed) == (limit < 1)
    modelled = [
        slot for slot, trial in study.finished().items() if any("relative" in key for key in trial.system_attrs)
    ]
    assert sorted(modelled) == [10, 11, 12, 13]


@pytest.mark.slow
def test_the_record_of_trials_says_which_were_evolved(tmp_path: Path) -> None:
    study, _ = run(tmp_path, search(**NSGA3), diverge_above(0.6))
    lines = list(csv.DictReader(trials_table([study]).splitlines()))
    assert [int(line["generation"]) for line in lines] == generations(study)


@pytest.mark.slow
def test_a_second_generation_is_reached_with_population_4(tmp_path: Path) -> None:
    study, _ = run(tmp_path, search(sampler="nsga3", objective="four", population_size=4, trials=12))
    generations = [
        value for trial in study.trials() for key, value in trial.system_attrs.items() if "generation" in key
    ]
    assert max(generations) >= 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mark", "modelled"), [("cmaes", "cma:generation", 11), ("gp", "gp:relative", 2)])
def test_other_samplers_learn_from_trials(tmp_path: Path, name: str, mark: str, modelled: int) -> None:
    """CMA-ES from the first scored trial on, the Gaussian process after ten; choices vary with either."""
    settings = search(sampler=name, population_size=4, trials=12, storage="journal")
    study, _ = run(tmp_path, settings)
    told = [any(key.startswith(mark) for key in trial.system_attrs) for trial in study.finished().values()]
    assert told == [False] * (12 - modelled) + [True] * modelled
    assert {trial.params["batch_size"] for trial in study.finished().values()} == {64, 128}
    if name == "cmaes":
        found = [trial.system_attrs.get(mark, -1) for _, trial in sorted(study.finished().items())]
        assert found == [-1, *[0] * 4, *[1] * 4, *[2] * 3], "population 4"


@pytest.mark.slow
def test_cmaes_counts_pruned_trials_where_a_search_prunes(tmp_path: Path) -> None:
    pruning = {"prune": True, "pruner": "halving"}
    study, _ = run(tmp_path, search(sampler="cmaes", population_size=4, trials=8, storage="journal", **pruning))
    trials = [trial for _, trial in sorted(study.finished().items())]
    assert any(trial.state == TrialState.PRUNED for trial in trials)
    assert [trial.system_attrs.get("cma:generation", -1) for trial in trials] == [-1, *[0] * 4, *[1] * 3]


@pytest.mark.parametrize("name", ["nsga3", "tpe", "cmaes", "gp", "random"])
@pytest.mark.parametrize("ranges", [{"batch_size": RANGES["batch_size"]}, {"x": RANGES["x"]}], ids=["choice", "number"])
def test_every_sampler_draws_from_a_single_range(name: str, ranges: dict[str, Any]) -> None:
    """Of a choice alone, CMA-ES has nothing to learn from."""
    settings = search(sampler=name, trials=12)
    study = optuna.create_study()
    for slot in range(4):
        study.sampler = make_sampler(settings, slot, study.trials)
        trial = study.ask()
        trial.set_user_attr("slot", slot)
        drawn = [study_module.suggest(trial, name, limits) for name, limits in ranges.items()]
        assert all(value in (64, 128) or 0 <= value <= 1 for value in drawn)
        study.tell(trial, float(drawn[0]))


def test_the_schema_names_the_samplers_that_there_are() -> None:
    named = get_args(get_args(SearchConfig.model_fields["sampler"].annotation)[0])
    assert set(named) == set(SAMPLERS)
