"""Figures of one result set's searches: what they found when, and which hyper-parameters mattered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import optuna
import pandas as pd
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial

from deepunlearn.analysis.figures.style import Picture, canvas, finish, in_order, looks, rows_of
from deepunlearn.analysis.search_spread import completed

optuna.logging.set_verbosity(optuna.logging.WARNING)

FEWEST_TRIALS = 20  # with fewer the importance of a hyper-parameter is noise
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
    if importance:
        yield _importance(
            {method: importance[method] for method in in_order(map(str, importance))}, titles, name, cell_title
        )


def _history(done: pd.DataFrame, titles: dict[str, str], name: str, cell_title: str) -> Picture:
    methods = in_order(done["method"])
    look = looks(methods)
    with canvas(7.2, 4.2) as axes:
        for method in methods:
            best = best_so_far(done[done["method"] == method])
            style: Any = {"color": look[method].colour, "linestyle": look[method].line}
            axes.step(best.index + 1, best.mean(axis=1), where="post", label=titles[method], linewidth=1.4, **style)
        axes.set_xlabel("trial")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("best norm of the losses so far, best 0")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        title = f"{cell_title}: history of the searches, mean over search seeds"
        return finish(axes, f"search-{name}", title, name)


def best_so_far(done: pd.DataFrame) -> pd.DataFrame:
    """Smallest norm up to each slot (index, from 0), a column per search seed; empty before the first completed one."""
    table = done.pivot_table(index="slot", columns="seed", values="norm", aggfunc="min")
    return table.reindex(range(int(done["slot"].max()) + 1)).cummin().ffill()


def importances(done: pd.DataFrame) -> dict[str, float]:
    """Hyper-parameter -> its share in what makes a trial good (PED-ANOVA, Watanabe et al. 2023); sums to 1.

    done: completed trials of one method, all search seeds together. Those that never vary have no share.
    """
    params = pd.DataFrame([json.loads(text) for text in done["params"]], index=done.index)
    ranges: dict[str, BaseDistribution] = {
        str(name): _distribution(params[name]) for name in params if params[name].nunique() > 1
    }
    if not ranges:
        return {}
    study = optuna.create_study()
    study.add_trials(
        [
            create_trial(state=TrialState.COMPLETE, value=norm, params={name: line[name] for name in ranges},
                         distributions=ranges)
            for norm, line in zip(done["norm"].tolist(), params.to_dict("records"), strict=True)
        ]
    )  # fmt: skip
    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(share) for name, share in shares.items()}


def _distribution(values: pd.Series) -> FloatDistribution | CategoricalDistribution:
    """The range that was tried; on a logarithmic scale where it spans more than two decades."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return CategoricalDistribution(sorted(values.unique(), key=str))
    low, high = float(values.min()), float(values.max())
    return FloatDistribution(low, high, log=low > 0 and high / low > 100)


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
        rows_of(axes, [titles[method] for method in shares])
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of each hyper-parameter in what makes a trial good (PED-ANOVA)")
        title = f"{cell_title}: importance of hyper-parameters; shares below {LABELLED:.0%} carry no name"
        return finish(axes, f"importance-{name}", title, name)
