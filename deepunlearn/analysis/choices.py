"""How the answer depends on the choices: other linkages, mean places and other measures beside the ranking as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.stats import kendalltau

from deepunlearn.analysis.inference import Floats
from deepunlearn.analysis.rank import GROUPS, Scores, count_groups, dense_ranks, mid_places
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.metrics.catalogue import BUILT_IN

LINKAGES = ("average", "complete")
MEASURES = {"RetDev": ("gap", "ToW"), "gap": ("ToW",), "Indisc": ("Disc_AUC",)}  # in place of -> names
EXPLAINED = (
    "What other choices would have made of the same models: average or complete linkage in place of Ward's; mean "
    "places over cells in place of counts of groups; in place of RetDev the gap (mean of the absolute differences of "
    "RA, FA and TA to the retrained model's) or the tug of war (ToW, Zhao et al. 2024: product of 1 - these "
    "differences), in place of Indisc the AUC of the loss (Disc_AUC). tau: Kendall's rank correlation with the ranking "
    "as it is; moves most: the method whose place changes most."
)


class Choice(NamedTuple):
    """places: of the methods that have one, from 1; missing: methods that have none, and why."""

    name: str
    places: pd.Series[float]
    missing: str


def choices(ranking: Ranking, metric: str) -> Iterator[Choice]:
    """The ranking as it is, then the others."""
    own = ranking.ranked[metric]
    yield Choice("as it is", _placed(own.groups()), "")
    for name in LINKAGES:
        yield Choice(f"{name} linkage", _placed(_grouped(own, name)), "")
    difference = ranking.judged[metric].difference
    if difference is not None:
        yield Choice("mean places", pd.Series(mid_places(difference.places.to_numpy()), difference.places.index), "")
    for name in MEASURES[metric]:
        yield _measured(ranking, own, name)


def table(ranking: Ranking) -> pd.DataFrame:
    """A line per metric and choice; none of a metric by which nothing is ranked."""
    made = []
    for metric, judged in ranking.judged.items():
        known = [] if judged.refused else list(choices(ranking, metric))
        made += [{"metric": metric, **_line(ranking, known[0].places, one)} for one in known]
    return pd.DataFrame(made, columns=["metric", "choice", "best", "tau", "moves most", "missing"])


def _line(ranking: Ranking, usual: pd.Series[float], choice: Choice) -> dict[str, object]:
    places = choice.places
    if places.empty:
        return {"choice": choice.name, "best": "", "tau": float("nan"), "moves most": "", "missing": choice.missing}
    best = [ranking.titles[str(name)] for name in places.index[places == places.min()]]
    before = pd.Series(mid_places(usual[places.index].to_numpy()), places.index)  # among the same methods
    moved = (places - before).abs()
    most = str(moved.idxmax())
    told = f"{ranking.titles[most]}: {before[most]:g} to {places[most]:g}" if moved.max() > 0 else "none"
    tau = float(kendalltau(before, places).statistic) if before.nunique() > 1 < places.nunique() else float("nan")
    return {"choice": choice.name, "best": ", ".join(best), "tau": tau, "moves most": told, "missing": choice.missing}


def _placed(groups: pd.DataFrame) -> pd.Series[float]:
    ranks = dense_ranks(count_groups(groups))
    return pd.Series(mid_places(ranks.to_numpy()), index=ranks.index)


def _grouped(scores: Scores, name: str) -> pd.DataFrame:
    """As `Scores.groups`, by another linkage."""
    groups = scores.groups()
    for cell, table in scores.values.items():
        if table.shape[1]:
            places = linked(table.mean().to_numpy(float), scores.lower_is_better, name)
            groups.loc[list(table), cell] = np.array(GROUPS, dtype=object)[places]
    return groups


def linked(values: Floats, lower_is_better: bool, name: str) -> Floats:
    """The group of each of `values` [n], 0 the best, by any of scipy's linkages."""
    distinct = len(np.unique(values))
    if distinct <= len(GROUPS):
        labels = np.unique(values, return_inverse=True)[1]
    else:
        labels = fcluster(linkage(values[:, None], name), len(GROUPS), "maxclust")
    centres = {label: values[labels == label].mean() for label in set(labels.tolist())}
    order = sorted(centres, key=lambda label: centres[label] if lower_is_better else -centres[label])
    return np.array([order.index(label) for label in labels.tolist()])


def _measured(ranking: Ranking, own: Scores, name: str) -> Choice:
    """Methods that have the measure on every seed of every cell in which they have the metric; failures stay."""
    lower = BUILT_IN[name].better == "lower"
    tables = {cell: _values(ranking.rows, cell, table.columns, name) for cell, table in own.values.items()}
    bare = sorted({str(one) for cell, table in own.values.items() for one in table if one not in tables[cell]})
    held = [one for one in own.methods if one not in bare]
    missing = f"not computed for every model: {', '.join(ranking.titles[one] for one in bare)}" if bare else ""
    if not any(set(table) & set(held) for table in tables.values()):
        return Choice(f"{name} in its place", pd.Series(dtype=float), missing)
    return Choice(
        f"{name} in its place", _placed(Scores(tables, own.methods, lower).only(held, list(tables)).groups()), missing
    )


def _values(rows: pd.DataFrame, cell: str, methods: pd.Index, name: str) -> pd.DataFrame:
    """Seeds x methods; no column of a method that lacks a value."""
    own = rows[(rows["column"] == cell) & rows["method"].isin(methods)]
    return own.pivot(index="seed", columns="method", values=name).astype(float).dropna(axis="columns")
