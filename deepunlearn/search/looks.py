"""Looks at a trial before its end: when, on which samples, and whether it goes on. Imports no torch."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.trial import FrozenTrial, TrialState

from deepunlearn.core.search_config import SearchConfig
from deepunlearn.metrics.counted import Counted
from deepunlearn.metrics.scores import SEARCH_PARTS
from deepunlearn.search.slots import is_finished

PRUNE_AT = (50, 75)  # per cent of a trial's epochs, of the median; never before half: CT and MSG start broken by design
PRUNE_STARTUP_TRIALS = 5
HALVING = 2  # of all trials that reach a rung one in so many goes on, and the next rung is so many times as far

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fidelity:
    """What a trial was last scored by. samples: of all parts together; sum: of its losses there."""

    epoch: int
    epochs: int
    samples: int
    sum: float

    def __str__(self) -> str:
        return f"at epoch {self.epoch} of {self.epochs}, scored on {self.samples:,} samples"

    def tell(self, trial: optuna.Trial) -> None:
        """Keep it with the trial, where dashboards show it."""
        trial.set_user_attr("fidelity", asdict(self))


FIDELITY = tuple(Fidelity.__dataclass_fields__)


def shares(search: SearchConfig, first_look: float) -> tuple[int, ...]:
    """Per cent of its epochs after which a trial is looked at; of halving from a method's `first_look` on."""
    if not search.prune:
        return ()
    if search.pruner == "median":
        return PRUNE_AT
    rungs = [round(100 * first_look)]
    while rungs[-1] * HALVING < 100:
        rungs.append(rungs[-1] * HALVING)
    return tuple(share for share in rungs if share < 100)


def looks_at(shares: tuple[int, ...], epochs: int) -> dict[int, int]:
    """Epoch -> the share that it stands for, of a trial of so many; where two fall together the later one counts."""
    looks = {-(-epochs * share // 100): share for share in shares}
    return {epoch: share for epoch, share in looks.items() if epoch < epochs}


def make_pruner(search: SearchConfig, first_look: float) -> optuna.pruners.BasePruner:
    """What says at a look whether a trial goes on."""
    if search.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=PRUNE_STARTUP_TRIALS, n_warmup_steps=0)
    first = round(100 * first_look)
    return WithoutLost(optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=HALVING))


class WithoutLost(optuna.pruners.BasePruner):
    """Holds a trial against those that count, and against running ones.

    Optuna's halving would also hold it against what a trial reported before it died with its process. A study that was
    killed and resumed would then go another way than one that was not.
    """

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        self.pruner = pruner

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return self.pruner.prune(_Counting(study.study_name, study._storage), trial)


class _Counting(optuna.Study):
    """A study without lost trials, and without those that an error ended, which run again."""

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        found = super().get_trials(deepcopy, states)
        return [trial for trial in found if trial.state != TrialState.FAIL or is_finished(trial)]


@dataclass(frozen=True)
class Course:
    """What halving leaves of a trial by its own rule. epochs: share that is run; looks: how many there are; finished:
    share of trials that end with full scores."""

    epochs: float
    looks: float
    finished: float


def course(search: SearchConfig, first_look: float, epochs: int) -> Course:
    """On average of trials of so many epochs, once there are many."""
    rungs = shares(search, first_look)
    alive, done, run, looks = 1.0, 0, 0.0, 0.0
    for epoch, share in looks_at(rungs, epochs).items():
        run += alive * (epoch - done)
        looks, alive, done = looks + alive, 1 / HALVING ** (rungs.index(share) + 1), epoch
    return Course((run + alive * (epochs - done)) / epochs, looks, alive)


# ------------------------------------------------------------------------------------------------------------ samples


def look_rows(labels: Mapping[str, Integers], counted: Counted, samples: int, seed: int) -> dict[str, Integers]:
    """Positions, in order, of at most `samples` samples of each part, by class as in the whole part.

    Of val as many of those whose accuracy counts, and as many of those that the attack looks at; they may be the same.
    """
    rows = {part: _spread(labels[part], np.arange(len(labels[part])), samples, seed) for part in SEARCH_PARTS}
    own = labels["val"]
    sides = np.flatnonzero(counted.retained(own)), counted.attacked("val", np.arange(len(own)))
    rows["val"] = np.union1d(*(_spread(own, side, samples, seed) for side in sides))
    return rows


def _spread(labels: Integers, among: Integers, samples: int, seed: int) -> Integers:
    """So many of `among`: every k-th of them by class, in a random order within each."""
    if len(among) <= samples:
        return among
    order = np.random.default_rng(seed).permutation(among)
    by_class = order[np.argsort(labels[order], kind="stable")]
    return np.sort(by_class[(2 * np.arange(samples) + 1) * len(among) // (2 * samples)])


def fields_of(trial: FrozenTrial) -> dict[str, Any]:
    """The fields of `Fidelity` of a stored trial; empty of one that earlier versions made, or that was never scored."""
    known = trial.user_attrs.get("fidelity", {})
    return {name: known.get(name, "") for name in FIDELITY}
