"""Our results as the paper prints its tables 1 and 2 (Cadet et al. 2024, arXiv 2410.01276), to put beside them.

They have no uncertainty; the tables of the ranking and of RTE do. So they are made where places have intervals.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.rank import COUNTED, LOWER_IS_BETTER, dense_ranks
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.analysis.ranking_tables import RtePart
from deepunlearn.analysis.render import SPAN, Table

METRICS = {"RetDev": "Retention Deviation", "Indisc": "Indiscernibility"}
TIMED = ("resnet18", 3)  # table 2: the architecture, and methods up to which rank by RetDev
assert list(METRICS) == list(LOWER_IS_BETTER)


def table1(counts: Mapping[str, pd.DataFrame], titles: Mapping[str, str]) -> pd.DataFrame:
    """Both metrics side by side, each in order of its own ranks, as text; equal ranks in order of titles.

    counts: by metric, a line per method id with how many cells it is in G1, G2, G3 and F; titles: by id. A method
    without counts by a metric is left out there.
    """
    halves = []
    for metric, header in METRICS.items():
        half = counts[metric].reindex(columns=list(COUNTED)).astype(int).rename_axis("id").reset_index()
        half.insert(0, "Method", half["id"].map(titles))
        half.insert(0, "Rank", half["id"].map(dense_ranks(counts[metric])))
        half = half.sort_values(["Rank", "Method"], key=lambda own: own.str.casefold() if own.name == "Method" else own)
        halves.append(half.drop(columns="id").add_prefix(f"{header}{SPAN}").astype(str).reset_index(drop=True))
    return pd.concat(halves, axis=1).fillna("")


def table2(means: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """RTE of each method on each dataset and the average over them, two digits, as text.

    means: method ids x datasets; where one is missing, it and the average are n/a.
    """
    averaged = means.assign(Average=means.mean(axis=1, skipna=False))
    shown = averaged.map(lambda value: "n/a" if pd.isna(value) else f"{value:.2f}").rename_axis(columns=None)
    shown.insert(0, "Unlearner", [titles[str(method)] for method in means.index])
    return shown.reset_index(drop=True)


def as_the_paper_prints(ranked: list[Ranking], timed: list[RtePart], remark: str) -> list[Table]:
    """Both for each ranking over all cells whose places have intervals; table 2 where its network was timed."""
    made: list[Table] = []
    for ranking in ranked:
        usual = ranking.scope == "all cells" and ranking.metrics == tuple(METRICS)
        if usual and all(len(ranking.interval(metric)) for metric in METRICS):
            made.append(_first(ranking, remark))
            parts = [part for part in timed if part.comparable and _belongs(part, ranking)]
            made += [_second(ranking, part, remark) for part in parts]
    return made


def _first(ranking: Ranking, remark: str) -> Table:
    counts = {metric: ranking.counts(metric).loc[list(ranking.ranks[metric].index)] for metric in METRICS}
    shown = table1(counts, ranking.titles)
    cells = ranking.groups["RetDev"].shape[1]
    caption = (
        f"Ranking by Retention Deviation and Indiscernibility over {cells} cells, in the layout of the paper's table "
        f"1. G1, G2, G3: cells in which a method is in the best, middle and worst group; F: in which it failed. "
        f"{remark}{ranking.trust} {caption_text(describe(ranking.rows))}"
    )
    name = ranking.name.replace("ranking", "paper-table1", 1)
    return Table(name, f"As table 1 of the paper{ranking.kind}", caption, shown, shown, paper=_leaders(shown))


def _leaders(shown: pd.DataFrame) -> pd.DataFrame:
    """Of `table1`, the methods of the first rank marked ¹, those of the second ²."""
    marked = shown.copy()
    for header in METRICS.values():
        marks = shown[f"{header}{SPAN}Rank"].map({"1": " ¹", "2": " ²"}).fillna("")
        marked[f"{header}{SPAN}Method"] = shown[f"{header}{SPAN}Method"] + marks
    return marked


def _fastest(shown: pd.DataFrame) -> pd.DataFrame:
    """Of `table2`, the largest value of each column marked ¹, the second ²."""
    ranks = shown.drop(columns="Unlearner").apply(pd.to_numeric, errors="coerce").rank(ascending=False, method="dense")
    return shown.assign(**{name: shown[name] + ranks[name].map({1.0: " ¹", 2.0: " ²"}).fillna("") for name in ranks})


def _second(ranking: Ranking, part: RtePart, remark: str) -> Table:
    ranks = ranking.ranks["RetDev"].sort_values(kind="stable")
    lead = [method for method in ranks.index[ranks <= TIMED[1]] if method in part.means.index]
    shown = table2(part.means.loc[lead], ranking.titles)
    caption = (
        f"Run-time efficiency on {part.title} of the methods of the first {TIMED[1]} ranks by Retention Deviation, in "
        f"the layout of the paper's table 2. {remark}{caption_text(describe(part.rows))}"
    )
    name = ranking.name.replace("ranking", "paper-table2", 1)
    return Table(name, f"As table 2 of the paper{ranking.kind}", caption, shown, shown, paper=_fastest(shown))


def _belongs(part: RtePart, ranking: Ranking) -> bool:
    """Whether the part is of the paper's network and rests on rows of the ranking."""
    sets = set(ranking.rows["result_set"])
    return bool((part.rows["arch"] == TIMED[0]).all()) and set(part.rows["result_set"]) <= sets
