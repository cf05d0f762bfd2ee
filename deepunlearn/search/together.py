"""Trials that a process runs at once (`search.together`): their models are made together, and scored one by one."""

from __future__ import annotations

import time
from collections.abc import Callable

from optuna.trial import Trial
from torch import nn

from deepunlearn.core.errors import Diverged
from deepunlearn.running import Run
from deepunlearn.search.objective import Losses
from deepunlearn.search.slots import OWN_SECONDS
from deepunlearn.together import Outcome


def timed(score: Callable[[Trial], Losses], shared: float = 0.0) -> Callable[[Trial], Losses]:
    """`score` of a trial that began with others and waited for them: its own seconds are kept, `shared` ones beside."""

    def kept(trial: Trial) -> Losses:
        began = time.perf_counter()
        try:
            return score(trial)
        finally:
            trial.set_user_attr(OWN_SECONDS, shared + time.perf_counter() - began)

    return kept


class Made:
    """Models that are made together, in so many seconds; that nothing came of it, or of one, is raised for each."""

    def __init__(self, make: Callable[[], list[Outcome]]) -> None:
        began = time.perf_counter()
        self._outcomes: list[Outcome] | Exception
        try:
            self._outcomes = make()
        except Exception as error:  # the outcome of every trial of the group
            self._outcomes = error
        self.seconds = time.perf_counter() - began

    def at(self, place: int) -> tuple[nn.Module, Run]:
        if isinstance(self._outcomes, Exception):
            raise self._outcomes
        outcome = self._outcomes[place]
        if isinstance(outcome, Diverged):
            raise outcome
        return outcome
