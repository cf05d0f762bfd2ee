"""Samplers for the next slot of a study: finished trials count as tries, whether they have a score or not.

Optuna counts scored trials only, both for NSGA-III's generations and for the random trials that TPE begins with. Then a
method half of whose trials diverge is searched at random for twice as long as others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from deepunlearn.core.schema import SearchConfig

POPULATION = 50  # of NSGA-III where `search.population_size` says nothing
STARTUP_TRIALS = 10  # TPE's random ones
PARENTS = 2  # that a child has: fewer scored trials than this make no generation
GENERATION = (
    "NSGAIIISampler:generation"  # where Optuna's sampler keeps a trial's generation, and reads it if it is there
)


def make_sampler(search: SearchConfig, seed: int, finished: Collection[FrozenTrial]) -> optuna.samplers.BaseSampler:
    """The sampler with its options named, since Optuna's defaults change between versions."""
    if search.sampler == "nsga3":
        return optuna.samplers.NSGAIIISampler(population_size=search.population_size or POPULATION, seed=seed)
    startup = STARTUP_TRIALS if len(finished) < STARTUP_TRIALS else 1  # scored ones, of which TPE needs one
    return optuna.samplers.TPESampler(n_startup_trials=startup, multivariate=True, constant_liar=True, seed=seed)


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


def generation_of(trial: FrozenTrial) -> int:
    """0 for random trials, and of other samplers."""
    return int(trial.system_attrs.get(GENERATION, 0))
