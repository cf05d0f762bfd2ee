"""`method=auto`: the method and its values that did best in the stored results of the nearest setting.

A table of results is one result set: the methods that one way of choosing hyper-parameters was run for, on one cell.
Tables are gone through from the nearest (`nearness`). One that refuses to rank (`analysis.trust`) is passed over, as
is one in which no method is left that can be used here. In the first other one:

1. a method's place is its worst rank by RetDev (or what ranks in its place) and Indisc, then the sum of its ranks;
   ranks are those of the tables, so methods of one group share one;
2. methods of equal place are tied, and the one that took the least time there is chosen.

A measure by which the methods differ by no more than their seeds do ranks nobody and leaves the choice to the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from deepunlearn.analysis import records
from deepunlearn.analysis.attack_noise import contradicted
from deepunlearn.analysis.nearness import (
    FAR,
    OF_ONES_OWN,
    Setting,
    differences,
    distance,
    in_words,
    name_of,
    setting_of,
)
from deepunlearn.analysis.provenance import describe
from deepunlearn.analysis.rank import FAILED
from deepunlearn.analysis.ranking import Ranking, rankings
from deepunlearn.analysis.records import Records
from deepunlearn.analysis.rows import REFERENCES, current
from deepunlearn.config import method_config
from deepunlearn.core.errors import ConfigError, StoreError
from deepunlearn.core.identity import KEY_LENGTH
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.deletion.report import Choice
from deepunlearn.metrics import LEAST_MOVE
from deepunlearn.metrics.catalogue import BUILT_IN
from deepunlearn.registry import Folders

FEWEST_METHODS = 2
TOO_FEW = "fewer than two methods have run there in full, so that there is no order"
LATER_ROUNDS = "results of later rounds of deletion alone"
BY_HAND = "give method=NAME (python -m deepunlearn.methods lists them)"
WITH_RESULTS = "folders with stored results: what python -m deepunlearn.sweep has written, or records/ of it"
NEED = (
    "results of the nearest setting in which at least two methods ran on at least 2 seeds (5 tell how sure places are)"
)
Refusal = Callable[[MethodConfig, Mapping[str, Value]], str]


def choose(
    setting: Setting,
    results: Sequence[Path],
    *,
    validation: bool = True,
    folders: Folders | None = None,
    refuses: Refusal = lambda config, values: "",
) -> Choice:
    """The method for a request of this `setting`, from what is stored in the folders `results`.

    A folder is one that a sweep wrote into, or has records/ of one. validation: whether there are samples that the
    model was not trained on, for methods that read them; folders: of methods of one's own; refuses: why a method with
    these values cannot be used on the model at hand, "" where it can.

    Raises ConfigError where there is nothing to choose from, StoreError where results cannot be read; both say that a
    method can be named.
    """
    found = _read(results)
    fits = _Fit(validation, folders, refuses)
    passed: list[str] = []
    for table in sorted(_tables(found), key=lambda one: _order(setting, one)):
        ranking = _ranked(found, table)
        picked = _pick(table, ranking, fits) if ranking else TOO_FEW
        if isinstance(picked, _Picked):
            return _told(setting, table, picked, passed, results)
        passed.append(f"{table.name}: {picked}")
    raise ConfigError(
        "method=auto has no table of results to pick a method from",
        given="; ".join(passed[:3]) + (f"; and {len(passed) - 3} more" if len(passed) > 3 else "") or LATER_ROUNDS,
        allowed=NEED,
        remedy=f"{BY_HAND}, or run more seeds: {_sweep(setting)}",
    )


def _sweep(setting: Setting) -> str:
    data = f"dataset={setting.dataset}" + (" dataset.root=..." if setting.dataset in OF_ONES_OWN else "")
    return f"python -m deepunlearn.sweep method=ft,msg,scrub {data} seeds=5"


# ------------------------------------------------------------------------------------------------------- what there is


class _Table(NamedTuple):
    """A result set.

    name: for people; setting: as a request would have it; rows: of its methods; originals: rows of the same cell.
    """

    name: str
    setting: Setting
    cell: str
    result_set: str
    rows: pd.DataFrame
    originals: pd.DataFrame

    def rows_of(self, method: str) -> pd.DataFrame:
        return self.rows[self.rows["method"] == method]


def _read(results: Sequence[Path]) -> Records:
    """Raises ConfigError for folders without results, StoreError for a damaged file; the remedy names `BY_HAND`."""
    given = f"results={','.join(map(str, results))}"
    for folder in results:
        if not folder.is_dir():
            raise ConfigError(
                f"there is no folder {folder}, in which method=auto looks for results",
                given=given,
                allowed=WITH_RESULTS,
                remedy=f"{BY_HAND}, or correct results=DIR",
            )
    try:
        found = records.gather(results)
    except ConfigError as error:
        raise type(error)(error.problem, given=error.given, allowed=WITH_RESULTS, remedy=BY_HAND) from None
    except StoreError as error:
        remedy = f"{error.remedy}; or {BY_HAND}"
        raise type(error)(error.problem, given=error.given, allowed=error.allowed, remedy=remedy) from None
    if found.rows["result_set"].isna().all():
        raise ConfigError(
            "method=auto has no results of unlearning methods to pick from",
            given=given,
            allowed=NEED,
            remedy=f"{BY_HAND}, or run a sweep first: python -m deepunlearn.sweep method=ft,msg,scrub seeds=5",
        )
    return found


def _tables(found: Records) -> list[_Table]:
    """One per result set, but for later rounds of several: a request finds a model of which nothing was deleted."""
    rows = current(found.rows)
    methods = rows[~rows["method"].isin(REFERENCES) & (rows["round"].fillna(1) == 1)]
    return [
        _table(rows, str(cell), str(result_set))
        for cell, result_set in methods[["cell", "result_set"]].drop_duplicates().itertuples(index=False)
    ]


def _table(rows: pd.DataFrame, cell: str, result_set: str) -> _Table:
    own = rows[(rows["cell"] == cell) & (rows["result_set"] == result_set)]
    return _Table(
        name=name_of(own),
        setting=setting_of(own),
        cell=cell,
        result_set=result_set,
        rows=own,
        originals=rows[(rows["cell"] == cell) & (rows["method"] == "original")],
    )


def _ranked(found: Records, table: _Table) -> Ranking | None:
    """The ranking of a table alone; None where fewer than `FEWEST_METHODS` have run there in full."""
    rows, cases = (
        frame[(frame["cell"] == table.cell) & frame["result_set"].fillna("").isin(["", table.result_set])]
        for frame in (found.rows, found.cases)
    )
    ranked = [one for one in rankings(rows, cases) if len(one.titles) >= FEWEST_METHODS]
    return ranked[0] if ranked else None


def _order(setting: Setting, table: _Table) -> tuple[float, int, bool, str]:
    """The nearest first; of equally near ones that with more seeds, then one whose values were searched."""
    seeds = table.rows["seed"].nunique()
    return distance(setting, table.setting), -seeds, bool(table.rows["trials"].isna().all()), table.result_set


# ---------------------------------------------------------------------------------------------------- picking from one


class _Fit(NamedTuple):
    """What can be used here."""

    validation: bool
    folders: Folders | None
    refuses: Refusal

    def objection(self, method: str, table: _Table, ranked_by: Sequence[str]) -> str:
        """Why a method of a table cannot be chosen, "" where it can."""
        rows = table.rows_of(method)
        try:
            config = method_config(method, self.folders)
        except ConfigError:
            return "is no single method of this program"
        if config.needs is not None:
            return "needs a record of the model's training"
        if "val" in config.reads and not self.validation:
            return "reads validation data, and there are none"
        if rows[["method_version", "params"]].isna().any(axis=None):
            return "has no stored values there"
        if (version := int(rows["method_version"].iloc[0])) != config.version:
            return f"is version {config.version} now, and version {version} there"
        return self._of_values(config, rows) or _of_rows(rows, table.originals, ranked_by)

    def _of_values(self, config: MethodConfig, rows: pd.DataFrame) -> str:
        try:
            return self.refuses(config, config.complete(_params(rows)))
        except ConfigError as error:
            return f"has stored values that cannot be used ({error.problem}, given {error.given})"


def _of_rows(rows: pd.DataFrame, originals: pd.DataFrame, ranked_by: Sequence[str]) -> str:
    """What a method did there that no deletion can rest on; rows: its own there."""
    if (rows["moved"] < LEAST_MOVE).any():
        return "left a model as it was there"
    if rows["RTE"].mean() <= 1:  # not known where nothing was retrained
        return "was no faster than training anew there"
    if "Indisc" in ranked_by and contradicted(rows).any():
        return "has an Indisc there that Disc_AUC contradicts"
    if not any(_improves(rows[name].mean(), originals[name].mean(), name) for name in ranked_by):
        return "was no better there than the model as it was"
    return ""


def _improves(own: float, original: float, measure: str) -> bool:
    """Whether a mean is better than the original's, or that has none."""
    lower = BUILT_IN[measure].better == "lower"
    return math.isnan(original) or (own < original if lower else own > original)


def _params(rows: pd.DataFrame) -> dict[str, Value]:
    values: dict[str, Value] = json.loads(str(rows["params"].iloc[0]))
    return values


class _Picked(NamedTuple):
    method: str
    values: dict[str, Value]
    ranking: Ranking
    measures: list[str]  # that rank
    tied: list[str]
    left_out: list[str]


def _pick(table: _Table, ranking: Ranking, fits: _Fit) -> _Picked | str:
    """What is chosen from a table, or why nothing is."""
    places = _places(ranking)
    if not places:
        reasons = dict.fromkeys(one.refused or "no method has a rank" for one in ranking.judged.values())
        return f"not ranked, since {'; '.join(reasons)}"
    measures = [*next(iter(places.values()))]
    objections = {method: fits.objection(method, table, measures) for method in places}
    left_out = [f"{ranking.titles[method]} {why}" for method, why in objections.items() if why]
    keys = {one: (max(places[one].values()), sum(places[one].values())) for one, why in objections.items() if not why}
    if not keys:
        return f"no method there can be used here: {'; '.join(left_out)}"
    seconds = {one: float(table.rows_of(one)["seconds"].mean()) for one in keys}
    tied = sorted((one for one in keys if keys[one] == min(keys.values())), key=lambda one: (seconds[one], one))
    values = method_config(tied[0], fits.folders).complete(_params(table.rows_of(tied[0])))
    return _Picked(tied[0], values, ranking, measures, tied, left_out)


def _places(ranking: Ranking) -> dict[str, dict[str, int]]:
    """Method -> measure -> rank, of the measures that rank and the methods with a rank by each that did not fail."""
    ranks = {name: one.ranks.to_dict() for name, one in ranking.judged.items() if not one.refused}
    failed = {method for name in ranks for method, line in ranking.groups[name].iterrows() if (line == FAILED).any()}
    return {
        method: {name: int(one[method]) for name, one in ranks.items()}
        for method in ranking.titles
        if ranks and method not in failed and all(method in one for one in ranks.values())
    }


# --------------------------------------------------------------------------------------------------------- telling why


def _told(setting: Setting, table: _Table, picked: _Picked, passed: Sequence[str], results: Sequence[Path]) -> Choice:
    rows, titles = table.rows_of(picked.method), picked.ranking.titles
    points, tied = distance(setting, table.setting), tuple(titles[one] for one in picked.tied)
    near = _near(points, [f"{one.words} ({one.points:.1f})" for one in differences(setting, table.setting)])
    order = f"{picked.ranking.trust}{_apart(picked)}"
    did = f"it took {rows['seconds'].mean():.3g} s; {_scores(table, rows, picked)}"
    return Choice(
        method=picked.method,
        values=picked.values,
        source=_source(table, rows, results),
        points=points,
        near=near,
        order=order,
        tied=tied,
        left_out=tuple(picked.left_out),
        passed_over=tuple(passed),
        why=f"The nearest table that ranks is {table.name}. {_best(tied)} ({did}).",
    )


def _near(points: float, differing: Sequence[str]) -> str:
    if not differing:
        return in_words(points)
    doubt = ", so that the order may be another one here" if points >= FAR else ""
    return f"{in_words(points)}, {points:.1f} points{doubt}; what differs: {'; '.join(differing)}"


def _best(tied: Sequence[str]) -> str:
    """tied: titles of the methods of the best place, the chosen one first."""
    first, *others = tied
    if not others:
        return f"{first} has the best place there of the methods that can be used here"
    named = " and ".join([", ".join([first, *others[:-1]]), others[-1]])
    return (
        f"{named} share the best place there of the methods that can be used here, and {first} was the fastest of them"
    )


def _apart(picked: _Picked) -> str:
    """By which measures a test tells how many methods from the best one, in words; "" where there is no test."""
    told, titles = [], picked.ranking.titles
    for name in picked.measures:
        lines = picked.ranking.best[name]
        tested = lines.loc[~lines["verdict"].isin(["best", "not testable"]), "verdict"]
        if len(tested):
            first = titles[str(lines.loc[lines["verdict"] == "best", "method"].iloc[0])]
            worse = int((tested == "differs").sum())
            told.append(f" By {name} {first} is best, and a test tells {worse} of {len(tested)} others from it.")
    if picked.ranking.disagree(picked.method):
        told.append(f" The measures do not agree on the place of {titles[picked.method]}.")
    return "".join(told)


def _scores(table: _Table, rows: pd.DataFrame, picked: _Picked) -> str:
    """Means over seeds of what ranked, beside the original's where it has one."""
    own, originals = rows[picked.measures].mean(), table.originals[picked.measures].mean()
    return ", ".join(
        f"{name} {own[name]:.3f}" + ("" if math.isnan(originals[name]) else f", the original's {originals[name]:.3f}")
        for name in picked.measures
    )


def _source(table: _Table, rows: pd.DataFrame, results: Sequence[Path]) -> tuple[str, ...]:
    """The chosen method's rows, as a person finds them."""
    facts, stored = describe(rows), table.setting
    conditions = ("seeds", "search", "trials", "epochs", "precision", "machine", "dates")
    return (
        f"{facts['dataset']}, {facts['arch']}, {facts['forget set']}: {stored.forgotten} of {stored.samples} samples",
        ", ".join(f"{name} {facts[name]}" for name in conditions),
        f"result set {table.result_set}, cell {table.cell}, read from {', '.join(map(str, results))}",
        f"keys of the metrics: {', '.join(str(key)[:KEY_LENGTH] for key in rows['metrics_key'])}",
    )
