"""The paper's search against `search=fast`, at equal epochs spent.

Real sweeps of a small network (three convolutions, trained for 40 epochs) on 2,500 images, at most 8 epochs a trial:
all studies of both searches on the same originals, `search.trials` of fast raised to 140 so that it spends what the
paper's 100 do. Epochs are those that trials really ran, so a pruned one counts up to where it was pruned. A, B: the
smallest norm of the four losses (the rule by which a winner is picked) found until then, one value per study; where
A / B is above 1, fast found the better one. "Half" and "a third": fast with that share of the epochs, the paper's with
all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain

from common import Options, Row, Taken, command_of, experiment_of, sweep
from optuna.trial import FrozenTrial, TrialState

from deepunlearn.search.objective import Losses
from deepunlearn.search.study import SlotStudy

TRIALS = {"paper": 100, "fast": 140}
SHARES = {"equal epochs": 1, "half": 2, "a third": 3}
METHODS = ("ft", "ct", "msg", "scrub")
SEEDS = 4
RECIPE = (
    "arch=smallnet",
    "train.batch_size=64",
    "train.lr=0.05",
    "dataset.flip=false",
    "dataset.crop_padding=0",
    "search.max_epochs=8",
    "launcher.workers=2",
    "runtime.threads=1",
)


@dataclass(frozen=True)
class Curve:
    """The smallest norm so far after each finished trial of a study, and the epochs spent until then."""

    epochs: list[int]
    norms: list[float]

    def best(self, epochs: float) -> float:
        """Infinity where nothing was completed with so few epochs."""
        within = [norm for spent, norm in zip(self.epochs, self.norms, strict=True) if spent <= epochs]
        return within[-1] if within else math.inf


def rows(options: Options) -> list[Row]:
    curves = {search: _curves(options, search) for search in TRIALS}
    rows = []
    for method in curves["paper"]:
        rows += _rows(method, {search: every[method] for search, every in curves.items()})
    return [*rows, *_rows("all", {search: list(chain(*every.values())) for search, every in curves.items()})]


def _rows(title: str, curves: dict[str, list[Curve]]) -> list[Row]:
    budgets = [
        min(paper.epochs[-1], fast.epochs[-1]) for paper, fast in zip(curves["paper"], curves["fast"], strict=True)
    ]

    def taken(search: str, share: int = 1) -> Taken:
        norms = [curve.best(budget / share) for curve, budget in zip(curves[search], budgets, strict=True)]
        return Taken(search, norms, unit="norm")

    return [Row(f"{title}: {words}", taken("paper"), taken("fast", share)) for words, share in SHARES.items()]


# ---------------------------------------------------------------------------------------------------------- the studies


def _curves(options: Options, search: str) -> dict[str, list[Curve]]:
    """By method, one curve per search seed."""
    limit, trials, seeds = options.size(2500, 150), options.size(TRIALS[search], 2), options.size(SEEDS, 1)
    methods = ",".join(METHODS[: options.size(len(METHODS), 1)])
    recipe = (*RECIPE, f"train.epochs={options.size(40, 1)}")
    own = (f"search={search}", f"search.trials={trials}", f"search.seeds={seeds}", f"method={methods}", "seeds=1")
    sweep(options, limit, *recipe, *own)
    command = command_of(options, limit, *recipe, *own)
    experiment = experiment_of(command)
    return {
        method.name: [
            _curve(SlotStudy(experiment, method, command.sweep.search, seed))
            for seed in command.sweep.search_seeds(experiment.cell)
        ]
        for method in command.sweep.methods
    }


def _curve(study: SlotStudy) -> Curve:
    """Trials in the order in which they were finished."""
    spent, best, epochs, norms = 0, math.inf, [], []
    for trial in sorted(study.finished().values(), key=lambda trial: trial.number):
        spent += _epochs(study, trial)
        if trial.state == TrialState.COMPLETE:
            best = min(best, Losses(*trial.user_attrs["losses"]).norm)
        epochs.append(spent)
        norms.append(best)
    return Curve(epochs, norms)


def _epochs(study: SlotStudy, trial: FrozenTrial) -> int:
    """Epochs that it ran: all, or until it was pruned. (A diverged one counts whole, whichever search it is of.)"""
    epochs = study.method.epochs_of(trial.user_attrs["params"])
    if trial.state == TrialState.PRUNED:
        return -(-epochs * max(trial.intermediate_values) // 100)
    return epochs
