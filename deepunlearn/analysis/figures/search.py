"""Figures of one result set's searches: what they found when, and which hyper-parameters mattered."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial
from pydantic import TypeAdapter

from deepunlearn.analysis.figures.kept import Kept, digest
from deepunlearn.analysis.figures.style import (
    INK,
    LINE,
    Look,
    Picture,
    Sheet,
    Subject,
    blank,
    canvas,
    finish,
    in_order,
    looks,
    rows_of,
)
from deepunlearn.analysis.inference import Floats
from deepunlearn.analysis.search_spread import completed, pruned_at
from deepunlearn.core.params import Range

optuna.logging.set_verbosity(optuna.logging.WARNING)

FEWEST_TRIALS = 20  # with fewer no importance is told from chance
BEST_SHARE, FEWEST_BEST = 0.1, 8  # trials that PED-ANOVA holds against all; 6 are in one of 4 classes by chance
CHANCE = 0.04  # of searches in which no hyper-parameter matters and one is shown
_RANGES: TypeAdapter[dict[str, Range]] = TypeAdapter(dict[str, Range])
SHADES = (0.55, 0.42, 0.3, 0.2, 0.12)  # light enough for a name on them
BARS = 0.7  # share of a figure's width that the axis of importances has, about
PANEL = 1.0  # inches: width of a small multiple at least
PANEL_HEIGHT = 0.72


def search_figures(
    trials: pd.DataFrame, titles: dict[str, str], sheet: Sheet, subject: Subject, shares: Mapping[str, dict[str, float]]
) -> Iterator[Picture]:
    """trials: of one result set, as `Records.trials`; titles: of its methods; shares: as `all_importances`."""
    done = completed(trials)
    if done.empty:
        return
    yield _history(done, titles, sheet, subject, left_out(trials))
    if any(shares.values()):
        yield _importance({method: shares[method] for method in in_order(shares)}, titles, sheet, subject)


def all_importances(trials: pd.DataFrame, known: Kept) -> tuple[dict[str, dict[str, float]], Kept]:
    """`importances` by method, of those with enough trials, and the same by digest; what is known is not computed."""
    done = completed(trials)
    searches = {str(method): own for method, own in done.groupby("method") if len(own) >= FEWEST_TRIALS}
    digests = {method: digest(own) for method, own in searches.items()}
    shares = {
        method: known[digests[method]] if digests[method] in known else importances(own)
        for method, own in searches.items()
    }
    return shares, {digests[method]: own for method, own in shares.items()}


def left_out(trials: pd.DataFrame) -> str:
    """How many were pruned, which have no norm to show, and what these were scored by."""
    count = int((trials["state"] == "PRUNED").sum())
    return f"; without {count} that were pruned{pruned_at(trials)}" if count else ""


def _history(done: pd.DataFrame, titles: dict[str, str], sheet: Sheet, subject: Subject, left_out: str) -> Picture:
    """A panel for each method, all with the same axes, the others' means in grey behind."""
    methods = in_order(done["method"])
    look = looks(methods)
    best = {method: best_so_far(done[done["method"] == method]) for method in methods}
    means = {method: table.mean(axis=1, skipna=False).dropna() for method, table in best.items()}
    lowest = pd.DataFrame(means).ffill().min(axis=1)
    columns = min(len(methods), int(sheet.width / PANEL))
    lines = math.ceil(len(methods) / columns)
    with blank(sheet, 0.4 + PANEL_HEIGHT * lines) as figure:
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for method, axes in zip(methods, panels, strict=False):
            _panel(axes, best[method].loc[means[method].index], means[method], lowest, look[method])
            axes.set_title(titles[method], loc="left", pad=2)
        for number, axes in enumerate(panels):
            axes.set_visible(number < len(methods))
            axes.tick_params(labelbottom=number + columns >= len(methods))
        panels[0].set_ylim(bottom=0)
        panels[0].xaxis.set_major_locator(MaxNLocator(3, integer=True))
        panels[0].yaxis.set_major_locator(MaxNLocator(3))
        figure.supxlabel("trial")
        figure.supylabel("best norm so far")
        title = (
            f"{subject.title}: best norm of the losses so far (0 is best), mean and range over search seeds, from "
            f"where each has a completed trial; grey: the best of all methods{left_out}"
        )
        return finish(figure, sheet, f"search-{subject.group}", title, subject)


def _panel(axes: Axes, best: pd.DataFrame, mean: pd.Series[float], lowest: pd.Series[float], look: Look) -> None:
    """best [slots, seeds]: as `best_so_far`; mean: over its seeds; lowest: the lowest mean of all methods."""
    axes.plot(*_steps(lowest).T, drawstyle="steps-post", color=INK, alpha=0.35, linewidth=0.7)
    band = _steps(pd.DataFrame({"low": best.min(axis=1), "high": best.max(axis=1)}))
    axes.fill_between(band[:, 0], band[:, 1], band[:, 2], step="post", color=look.colour, alpha=0.25, linewidth=0)
    axes.step(*_steps(mean).T, where="post", linewidth=1.2, color=look.colour)
    axes.grid(alpha=0.3)


def _steps(values: pd.Series[float] | pd.DataFrame) -> Floats:
    """[n, (trial, values)]: where a step begins, and the end of the last one."""
    table = np.column_stack([values.index.to_numpy(float) + 0.5, values.to_numpy(float)])
    begins = np.append(True, (np.diff(table[:, 1:], axis=0) != 0).any(axis=1))
    return np.concatenate([table[begins], [[table[-1, 0] + 1, *table[-1, 1:]]]])


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


def _importance(shares: dict[str, dict[str, float]], titles: dict[str, str], sheet: Sheet, subject: Subject) -> Picture:
    look = looks(shares)
    room = BARS * sheet.letters  # letters that a share of 1 has room for
    with canvas(sheet, 0.5 + 1.2 * LINE * len(shares)) as axes:
        for line, (method, own) in enumerate(shares.items()):
            left = 0.0
            for number, (parameter, share) in enumerate(sorted(own.items(), key=lambda item: -item[1])):
                shade = SHADES[min(number, len(SHADES) - 1)]
                axes.barh(line, share, left=left, height=0.8, color=look[method].colour, alpha=shade, edgecolor="none")
                if share * room > len(parameter) + 1:
                    axes.text(left + share / 2, line, parameter, ha="center", va="center_baseline")
                left += share
            if not own:
                axes.text(0.01, line, "none told from chance", ha="left", va="center_baseline", color=INK)
        rows_of(axes, [titles[method] for method in shares])
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of importance (PED-ANOVA)")
        title = (
            f"{subject.title}: importance of hyper-parameters, of those that are told from chance; a share without a "
            "name was too small for it"
        )
        return finish(axes.figure, sheet, f"importance-{subject.group}", title, subject)
