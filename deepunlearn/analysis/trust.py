"""How far a ranking can be trusted, in words made from its numbers, and where nothing can be told at all."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from deepunlearn.analysis.inference import FEWEST_SEEDS, LEVEL, CriticalDifference
from deepunlearn.analysis.rank import Bootstrap, Scores, count_groups, dense_ranks

TOO_FEW = f"needs {FEWEST_SEEDS} seeds"


class Judged(NamedTuple):
    """ranks: dense, none where `refused` says why; sentence: of trust; bootstrap: None below 5 seeds."""

    ranks: pd.Series[int]
    refused: str
    sentence: str
    bootstrap: Bootstrap | None
    difference: CriticalDifference | None


def judge(scores: Scores, trials: int | None) -> Judged:
    """What can be said of the methods of `scores`; trials: per search, None where values were given."""
    refused = reason_to_refuse(scores)
    bootstrap = scores.bootstrap()
    ranks = dense_ranks(count_groups(scores.groups())) if not refused else pd.Series(dtype="int64")
    sentence = _sentence(scores, trials, refused, bootstrap)
    return Judged(ranks, refused, sentence, bootstrap, scores.critical_difference())


def reason_to_refuse(scores: Scores) -> str:
    """Why no rank can be told, "" where some can."""
    if not any(table.shape[1] for table in scores.values.values()):
        return "no method has a value in every cell"
    if scores.seeds < 2:
        return "1 seed does not show how far seeds differ"
    tested = [p for p in scores.noise().values() if not math.isnan(p)]
    if tested and min(tested) * len(tested) >= LEVEL:  # one of many cells falls below the level by chance alone
        return "the methods differ by no more than their seeds do (all cells within noise)"
    return ""


def _sentence(scores: Scores, trials: int | None, refused: str, bootstrap: Bootstrap | None) -> str:
    most = max((len(table) for table in scores.values.values() if table.shape[1]), default=0)
    seeds = _count(most, "seed") if most == scores.seeds else f"{scores.seeds} to {most} seeds"
    cells = _count(len(scores.values), "cell")
    searched = "hyper-parameters given" if trials is None else f"{_count(trials, 'trial')} per search"
    return f"{seeds}, {cells}, {searched}: {_verdict(scores, refused, bootstrap)}."


def _verdict(scores: Scores, refused: str, bootstrap: Bootstrap | None) -> str:
    if refused:
        return f"not ranked, since {refused}; the values stand as they are"
    noisy = sum(p >= LEVEL for p in scores.noise().values())
    remark = f", {noisy} of {_count(len(scores.values), 'cell')} within noise" if noisy else ""
    if bootstrap is None:
        return f"how certain the ranks are cannot be told (it {TOO_FEW}){remark}"
    certain, all_ = int(bootstrap.certain.sum()), len(scores.methods)
    return f"the place of {certain} of {all_} methods ({certain / all_:.0%}) is certain{remark}"


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
