"""Which trial wins (protocol section 6), and the record of it."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from optuna.trial import TrialState

from deepunlearn.core.errors import DeepUnlearnError, Diverged
from deepunlearn.core.keys import SELECTION, SearchKey
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.store import TRIALS, Entry
from deepunlearn.search.looks import FIDELITY, fields_of
from deepunlearn.search.objective import COMPONENTS, Losses
from deepunlearn.search.samplers import generation_of
from deepunlearn.search.study import SlotStudy, score_model
from deepunlearn.stages.evaluation import Experiment


class SearchFailed(DeepUnlearnError):
    """A search without a completed trial: the method is F in this cell. trials: the text of `trials_table`."""

    exit_code = 1
    trials = ""


@dataclass(frozen=True)
class Candidate:
    """A completed trial."""

    seed: int
    slot: int
    params: dict[str, Value]
    losses: Losses


def smallest_norm(candidates: Iterable[Candidate]) -> Candidate:
    """The paper's rule: smallest Euclidean norm of the four losses over all studies; ties go to the earlier trial."""
    return min(candidates, key=lambda one: (one.losses.norm, one.seed, one.slot))


def by_norm(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Best first."""
    return sorted(candidates, key=lambda one: (one.losses.norm, one.seed, one.slot))


def by_place(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The best of each seed, then the second ones, and so on: of a shared study, some seeds of which are easier."""
    seen: Counter[int] = Counter()
    placed = []
    for one in by_norm(candidates):
        placed.append((seen[one.seed], one))
        seen[one.seed] += 1
    return [one for _, one in sorted(placed, key=lambda pair: pair[0])]


def smallest_mean(
    candidates: Sequence[Candidate], count: int, seeds: Sequence[int], evaluate: Callable[[Candidate, int], float]
) -> Candidate:
    """Ours (`selection=robust`): of the first `count`, best first, the one with the smallest mean norm over all seeds.

    evaluate(candidate, seed) gives its norm of a run that the search has not seen, infinity where it diverges. On its
    own seed as well: the norm that put a candidate among the best is the luckiest of many, and would favour it.
    """
    top: list[Candidate] = []
    for one in candidates:
        if all(one.params != other.params for other in top):
            top.append(one)
    means = [math.fsum(evaluate(one, seed) for seed in seeds) / len(seeds) for one in top[:count]]
    return top[means.index(min(means))]


def select(experiment: Experiment, sweep: SweepConfig, method: MethodConfig) -> Entry:
    """The search stage: the winner's values, which trial made them, and all trials as a table.

    Raises SearchFailed where no trial completed.
    """
    key, place = experiment.keys.chosen_by(sweep, method), experiment.keys.place(method.name)
    assert isinstance(key, SearchKey)
    entry = experiment.store.find(key, place)
    if entry is not None:
        return entry
    studies = studies_of(experiment, sweep, method)
    candidates = [one for study in studies for one in completed(study)]
    if not candidates:
        raise _failed(experiment, method, studies)
    began = time.perf_counter()
    winner = _choose(experiment, sweep, method, candidates)
    facts = {**experiment.runtime.describe(), "seconds": time.perf_counter() - began}
    with experiment.store.writing(key, place, facts) as draft:
        draft.write_json(
            "winner.json",
            {
                "params": winner.params,
                "losses": winner.losses.__dict__,
                "norm": winner.losses.norm,
                "seed": winner.seed,
                "slot": winner.slot,
                "trials": sum(len(study.finished()) for study in studies),
                "stopped": next((why for study in studies for why in study.why_stopped), None),
            },
        )
        (draft.path / TRIALS).write_bytes(trials_table(studies).encode())
    entry = experiment.store.find(key, place)
    assert entry is not None
    return entry


def _failed(experiment: Experiment, method: MethodConfig, studies: list[SlotStudy]) -> SearchFailed:
    error = SearchFailed(
        f"no trial of {method.name} on {experiment.cell.name} was completed",
        given=_outcomes(studies),
        allowed="at least one completed trial",
        remedy="see why in the Optuna storage (optuna-dashboard, docs/searches.md), narrow the ranges with "
        "method.space.NAME.high=, or raise search.trials",
    )
    error.trials = trials_table(studies)
    return error


def studies_of(experiment: Experiment, sweep: SweepConfig, method: MethodConfig) -> list[SlotStudy]:
    """The studies of a sweep's search."""
    return [
        SlotStudy(experiment, method, sweep.search, seeds, start=partial(experiment.start, sweep, method))
        for seeds in sweep.study_seeds(experiment.cell)
    ]


def study_of(experiment: Experiment, sweep: SweepConfig, method: MethodConfig, seed: int) -> SlotStudy:
    """The study of a sweep's search that begins with the models of `seed`."""
    return next(study for study in studies_of(experiment, sweep, method) if study.seeds[0] == seed)


def completed(study: SlotStudy) -> list[Candidate]:
    """Completed trials, best values included; pruned and diverged ones cannot win."""
    return [
        Candidate(study.seed_of(slot), slot, trial.user_attrs["params"], Losses(*trial.user_attrs["losses"]))
        for slot, trial in sorted(study.finished().items())
        if trial.state == TrialState.COMPLETE
    ]


def _choose(experiment: Experiment, sweep: SweepConfig, method: MethodConfig, candidates: list[Candidate]) -> Candidate:
    if sweep.search.selection == "paper":
        return smallest_norm(candidates)

    def evaluate(one: Candidate, seed: int) -> float:
        try:
            earlier = experiment.earlier_key(sweep, method, seed)
            model, _ = experiment.unlearn(method, one.params, seed, drawn=SELECTION, earlier=earlier)
            return score_model(experiment, model, seed).norm
        except Diverged:
            return math.inf

    ordered = by_place(candidates) if sweep.search.shared else by_norm(candidates)
    return smallest_mean(ordered, sweep.search.candidates, sweep.search_seeds(experiment.cell), evaluate)


def _outcomes(studies: list[SlotStudy]) -> str:
    first = ((study, *one) for study in studies for one in list(study.finished().items())[:3])
    said = (
        f"seed {study.seed_of(slot)} slot {slot}: {trial.state.name.lower()} {trial.user_attrs.get('reason', '')}"
        for study, slot, trial in first
    )
    return "; ".join(one.strip() for one in said)


def trials_table(studies: list[SlotStudy]) -> str:
    """All finished trials as CSV: search seed, slot, state, reason, losses, seconds, hyper-parameters (JSON),
    NSGA-III's generation (0: random), where values are from that were not drawn, and what it was last scored by: after
    which epoch of how many, on how many samples of all parts, and the sum of its losses there; and how many trials ran
    at once, of whose seconds its own are a share."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    what = ["seed", "slot", "state", "reason", *COMPONENTS, "seconds", "params"]
    writer.writerow([*what, "generation", "origin", *FIDELITY, "together"])
    for study in studies:
        for slot, trial in sorted(study.finished().items()):
            attrs: dict[str, Any] = trial.user_attrs
            losses = attrs.get("losses", [""] * len(COMPONENTS))
            writer.writerow(
                [
                    study.seed_of(slot),
                    slot,
                    trial.state.name,
                    attrs.get("reason", ""),
                    *losses,
                    attrs.get("seconds", ""),
                    json.dumps(attrs.get("params"), sort_keys=True),
                    generation_of(trial),
                    attrs.get("origin", ""),
                    *fields_of(trial).values(),
                    attrs.get("together", 1),
                ]
            )
    return text.getvalue()
