"""Samplers for the next slot of a study: finished trials count as tries, whether they have a score or not.

Optuna counts scored trials only, both for NSGA-III's generations and for the random trials that TPE begins with. Then a
method half of whose trials diverge is searched at random for twice as long as others.

CMA-ES knows numbers only, at least one of them: choices are drawn by TPE, each by itself, and so are all values of a
method that has choices alone. The Gaussian process knows choices too.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from deepunlearn.core.search_config import SearchConfig

POPULATION = 50  # of NSGA-III where `search.population_size` says nothing
STARTUP_TRIALS = 10  # random ones of TPE and of the Gaussian process
LEAST = {"tpe": 1, "gp": 2}  # scored trials that they need at least
PARENTS = 2  # that a child has: fewer scored trials than this make no generation
GENERATION = (
    "NSGAIIISampler:generation"  # where Optuna's sampler keeps a trial's generation, and reads it if it is there
)


def make_sampler(search: SearchConfig, seed: int, finished: Collection[FrozenTrial]) -> BaseSampler:
    """The sampler with its options named, since Optuna's defaults change between versions."""
    assert search.sampler is not None
    return SAMPLERS[search.sampler](search, seed, finished)


def _nsga3(search: SearchConfig, seed: int, finished: Collection[FrozenTrial]) -> BaseSampler:
    return Generations(population_size=search.population_size or POPULATION, seed=seed)


def _tpe(search: SearchConfig, seed: int, finished: Collection[FrozenTrial]) -> BaseSampler:
    """All names of a study are drawn in each trial, so that groups of them would change nothing."""
    startup = _startup("tpe", finished)
    return optuna.samplers.TPESampler(n_startup_trials=startup, multivariate=True, constant_liar=True, seed=seed)


def _cmaes(search: SearchConfig, seed: int, finished: Collection[FrozenTrial]) -> BaseSampler:
    """It begins around the middle of all ranges after one scored trial. Pruned trials count by what they reported last.

    Without these few trials of a search that prunes would make a generation.
    """
    choices = optuna.samplers.TPESampler(n_startup_trials=_startup("tpe", finished), constant_liar=True, seed=seed)
    return BySlot(
        optuna.samplers.CmaEsSampler(
            n_startup_trials=1,
            independent_sampler=choices,
            warn_independent_sampling=False,
            consider_pruned_trials=search.prune,
            popsize=search.population_size,
            seed=seed,
        )
    )


def _gp(search: SearchConfig, seed: int, finished: Collection[FrozenTrial]) -> BaseSampler:
    """Expected improvement over trials that ran to their end: it takes no notice of pruned ones."""
    startup = _startup("gp", finished)
    return optuna.samplers.GPSampler(
        n_startup_trials=startup, deterministic_objective=False, warn_independent_sampling=False, seed=seed
    )


def _random(search: SearchConfig, seed: int, finished: Collection[FrozenTrial]) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


SAMPLERS: dict[str, Callable[[SearchConfig, int, Collection[FrozenTrial]], BaseSampler]] = {
    "nsga3": _nsga3,
    "tpe": _tpe,
    "cmaes": _cmaes,
    "gp": _gp,
    "random": _random,
}


def _startup(sampler: str, finished: Collection[FrozenTrial]) -> int:
    """How many scored trials it is to wait for."""
    return STARTUP_TRIALS if len(finished) < STARTUP_TRIALS else LEAST[sampler]


class BySlot(BaseSampler):
    """A sampler whose draws depend on a trial's number: here on its slot, since a trial that was lost has a number too.

    Else a study that was killed and resumed would go another way than one that was not.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self.sampler = sampler

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.sampler.infer_relative_search_space(study, _numbered(trial))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.sampler.sample_relative(study, _numbered(trial), search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)


class Generations(optuna.samplers.NSGAIIISampler):
    """NSGA-III whose trials are the same when they are run again, in whatever order those of a generation have ended.

    Optuna's chooses parents when the first trial of a generation begins, with the random numbers of that trial, and
    keeps them for the others. A first trial that was lost would find them chosen, and draw other numbers.
    """

    _begins: int | None = None  # the generation whose first trial is drawn

    @classmethod
    def _get_generation_key(cls) -> str:
        """As in studies that were stored by Optuna's own class, which names it after itself."""
        return GENERATION

    @classmethod
    def _get_parent_cache_key_prefix(cls) -> str:
        return str(optuna.samplers.NSGAIIISampler._get_parent_cache_key_prefix())

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        own = generation_of(trial)
        first = min(_slot(other) for other in study.get_trials(deepcopy=False) if generation_of(other) == own)
        self._begins = own if own and _slot(trial) == first else None
        return super().sample_relative(study, trial, search_space)

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        return sorted(super().get_population(study, generation), key=_slot)

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        if generation != self._begins:
            return sorted(super().get_parent_population(study, generation), key=_slot)
        parents: list[FrozenTrial] = self.select_parent(study, generation)
        kept = [trial._trial_id for trial in parents]
        study._storage.set_study_system_attr(
            study._study_id, f"{self._get_parent_cache_key_prefix()}{generation}", kept
        )
        return parents


def _slot(trial: FrozenTrial) -> int:
    """Studies that were not made of slots have numbers only."""
    return int(trial.user_attrs.get("slot", trial.number))


def _numbered(trial: FrozenTrial) -> FrozenTrial:
    """The same trial, numbered by its slot."""
    other = copy.copy(trial)
    other.number = trial.user_attrs["slot"]
    return other


def sampler_attributes(search: SearchConfig, finished: Collection[FrozenTrial]) -> dict[str, Any]:
    """What the next trial tells its sampler."""
    if search.sampler != "nsga3":
        return {}
    return {GENERATION: next_generation(finished, search.population_size or POPULATION)}


def next_generation(finished: Collection[FrozenTrial], population: int) -> int:
    """0: random; a later one is made from the scored trials before it, once its predecessor has `population` trials.

    A generation without two scored trials to make children of goes on.
    """
    sizes = Counter(generation_of(trial) for trial in finished)
    newest = max(sizes, default=0)
    scored = sum(trial.state == TrialState.COMPLETE for trial in finished)
    return newest + 1 if sizes[newest] >= population and scored >= PARENTS else newest


def independent(search: SearchConfig, finished: Collection[FrozenTrial], running: Collection[FrozenTrial] = ()) -> int:
    """How many of the next trials of NSGA-III or at random would be the same whatever comes of one another.

    Of NSGA-III those of one generation: what is left of it, or one where it goes on for want of scored trials. running:
    those that workers are at, which belong to it too; lost ones among them make a group smaller than it could be.
    """
    if search.sampler == "random":
        return search.trials
    population = search.population_size or POPULATION
    own = next_generation(finished, population)
    return max(1, population - sum(generation_of(trial) == own for trial in (*finished, *running)))


def generation_of(trial: FrozenTrial) -> int:
    """0 for random trials, and of other samplers."""
    return int(trial.system_attrs.get(GENERATION, 0))
