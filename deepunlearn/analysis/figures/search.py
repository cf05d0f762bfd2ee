"""Figures of one result set's searches: what they found when, and which hyper-parameters mattered."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial
from pydantic import TypeAdapter

from deepunlearn.analysis.figures.style import INK, Picture, canvas, finish, in_order, looks, rows_of
from deepunlearn.analysis.inference import Floats
from deepunlearn.analysis.search_spread import completed
from deepunlearn.core.params import Range

optuna.logging.set_verbosity(optuna.logging.WARNING)

FEWEST_TRIALS = 20  # with fewer no importance is told from chance
BEST_SHARE, FEWEST_BEST = 0.1, 8  # trials that PED-ANOVA holds against all; 6 are in one of 4 classes by chance
CHANCE = 0.04  # of searches in which no hyper-parameter matters and one is shown
_RANGES: TypeAdapter[dict[str, Range]] = TypeAdapter(dict[str, Range])
SHADES = (0.9, 0.7, 0.5, 0.35, 0.22)
LABELLED = 0.13  # share of a bar that its name fits into


def search_figures(trials: pd.DataFrame, titles: dict[str, str], name: str, cell_title: str) -> Iterator[Picture]:
    """trials: of one result set, as `Records.trials`; titles: of its methods; cell_title: the cell in words."""
    done = completed(trials)
    if done.empty:
        return
    yield _history(done, titles, name, cell_title)
    importance = {
        str(method): importances(subset) for method, subset in done.groupby("method") if len(subset) >= FEWEST_TRIALS
    }
    if any(importance.values()):
        yield _importance(
            {method: importance[method] for method in in_order(map(str, importance))}, titles, name, cell_title
        )


def _history(done: pd.DataFrame, titles: dict[str, str], name: str, cell_title: str) -> Picture:
    methods = in_order(done["method"])
    look = looks(methods)
    with canvas(7.2, 4.2) as axes:
        for method in methods:
            best = best_so_far(done[done["method"] == method]).mean(axis=1, skipna=False).dropna()
            style: Any = {"color": look[method].colour, "linestyle": look[method].line}
            axes.step(
                best.dropna().index + 1, best.dropna(), where="post", label=titles[method], linewidth=1.4, **style
            )
        axes.set_xlabel("trial")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("best norm of the losses so far, best 0")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        title = f"{cell_title}: history of the searches, mean over search seeds, from where each has a completed trial"
        return finish(axes, f"search-{name}", title, name)


def best_so_far(done: pd.DataFrame) -> pd.DataFrame:
    """Smallest norm up to each slot (index, from 0), a column per search seed; empty before the first completed one."""
    table = done.pivot_table(index="slot", columns="seed", values="norm", aggfunc="min")
    return table.reindex(range(int(done["slot"].max()) + 1)).cummin().ffill()


def importances(done: pd.DataFrame) -> dict[str, float]:
    """Hyper-parameter -> its share in what makes a trial good, of those that matter by more than chance.

    done: completed trials of one method, all search seeds together. Shares are of the sum over all hyper-parameters of
    PED-ANOVA's variances (Watanabe et al. 2023), in the ranges that were searched. Of irrelevant ones some have large
    shares where trials are few. So a share is shown only if it is above all that it had when the norms were dealt out
    anew within each search seed, so often that in `CHANCE` of searches without a relevant one something is shown.
    Trials that were kept without their ranges have no shares.
    """
    study = _study(done)
    trials = study.get_trials(deepcopy=False)
    names = list(trials[0].distributions) if trials else []
    if not names:
        return {}
    norms, seeds = done["norm"].to_numpy(float), done["seed"].to_numpy()
    shares = _variances(study, norms, names)
    generator = np.random.default_rng(0)
    left = names
    for _ in range(math.ceil(len(names) / CHANCE) - 1):
        dealt = _dealt_anew(norms, seeds, generator)
        by_chance = _variances(study, dealt, left)
        left = [name for name in left if shares[name] > by_chance[name]]
        if not left:
            return {}
    total = sum(shares.values())
    return {name: shares[name] / total for name in left}


def _dealt_anew(norms: Floats, seeds: npt.NDArray[Any], generator: np.random.Generator) -> Floats:
    """The norms [n] in a new order, within each search seed [n]."""
    dealt = np.empty_like(norms)
    for seed in np.unique(seeds):
        dealt[seeds == seed] = generator.permutation(norms[seeds == seed])
    return dealt


def _variances(study: optuna.Study, norms: Floats, names: list[str]) -> dict[str, float]:
    """PED-ANOVA's of each hyper-parameter where the trials have these norms."""
    values = norms.tolist()
    quantile = max(BEST_SHARE, FEWEST_BEST / len(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # normalize
        warnings.filterwarnings("ignore", ".*computes the importances of params to achieve low")
        return get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile),
            params=names,
            target=lambda trial: values[trial.number],
            normalize=False,
        )


def _study(done: pd.DataFrame) -> optuna.Study:
    """The trials with what varied among them, without values."""
    study = optuna.create_study()
    known = done["ranges"].dropna()
    if known.empty:
        return study
    params = pd.DataFrame([json.loads(text) for text in done["params"]], index=done.index)
    ranges = _RANGES.validate_json(known.iloc[0])
    searched = {
        name: _distribution(limits, params[name])
        for name, limits in ranges.items()
        if name in params and params[name].notna().all() and params[name].nunique() > 1
    }
    lines = [{name: line[name] for name in searched} for line in params.to_dict("records")]
    study.add_trials(
        [create_trial(state=TrialState.COMPLETE, value=0.0, params=line, distributions=searched) for line in lines]
    )
    return study


def _distribution(limits: Range, values: pd.Series) -> BaseDistribution:
    """The range that was searched; a whole number from a real range was put into one that depends on other values."""
    if limits.choices is not None:
        return CategoricalDistribution(limits.choices)
    assert limits.low is not None and limits.high is not None
    whole = isinstance(limits.low, int) and isinstance(limits.high, int) and not limits.log
    if whole:
        return IntDistribution(int(limits.low), int(limits.high))
    if isinstance(limits.low, float) and pd.api.types.is_integer_dtype(values):
        return IntDistribution(int(values.min()), int(values.max()))
    return FloatDistribution(float(limits.low), float(limits.high), log=limits.log)


def _importance(shares: dict[str, dict[str, float]], titles: dict[str, str], name: str, cell_title: str) -> Picture:
    look = looks(shares)
    with canvas(7.2, 0.9 + 0.26 * len(shares)) as axes:
        for line, (method, own) in enumerate(shares.items()):
            left = 0.0
            for number, (parameter, share) in enumerate(sorted(own.items(), key=lambda item: -item[1])):
                shade = SHADES[min(number, len(SHADES) - 1)]
                axes.barh(line, share, left=left, height=0.7, color=look[method].colour, alpha=shade, edgecolor="none")
                if share >= LABELLED:
                    axes.text(left + share / 2, line, parameter, ha="center", va="center", fontsize=7)
                left += share
            if not own:
                axes.text(0.01, line, "none told from chance", ha="left", va="center", fontsize=7, color=INK)
        rows_of(axes, [titles[method] for method in shares])
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of each hyper-parameter in what makes a trial good (PED-ANOVA)")
        title = f"{cell_title}: importance told from chance; shares below {LABELLED:.0%} carry no name"
        return finish(axes, f"importance-{name}", title, name)
