"""Our ranking beside the paper's: Table 1 and Table 2 of Cadet et al. 2024 (arXiv 2410.01276, version 1)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib.resources import files
from io import StringIO
from typing import Any, NamedTuple

import pandas as pd
from scipy.stats import spearmanr

from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.rank import LOWER_IS_BETTER, dense_ranks
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.analysis.render import Table

FEWEST_CELLS = 3  # of the paper's nine, for a statement about its findings
RTE_ARCH = "resnet18"  # of Table 2
FORGOTTEN = "random 10 %"
Ranks = dict[str, "pd.Series[int]"]


def published(table: str) -> pd.DataFrame:
    """`table1` (metric, method, G1, G2, G3, F over nine cells) or `table2` (RTE per dataset, ResNet18)."""
    text = (files("deepunlearn.analysis") / "published" / f"{table}.csv").read_text(encoding="utf-8")
    return pd.read_csv(StringIO(text))


def published_ranks(methods: Collection[str] | None = None) -> Ranks:
    """Metric -> rank of each method, as the paper's counts give them; with `methods`, among these alone."""
    table = published("table1").set_index("method")
    table = table if methods is None else table[table.index.isin(list(methods))]
    return {metric: dense_ranks(table[table["metric"] == metric].drop(columns="metric")) for metric in LOWER_IS_BETTER}


def against_paper(ranked: list[Ranking], remark: str) -> list[Table]:
    """For each ranking over all cells in which a random tenth was forgotten, as in the paper: ranks and RTE beside its
    own, and what became of its findings.
    """
    alike = [ranking for ranking in ranked if set(ranking.rows["forget_title"]) == {FORGOTTEN}]
    made = [ranking for ranking in alike if ranking.scope in ("all cells", f"forgotten: {FORGOTTEN}")]
    made = [ranking for ranking in made if ranking.metrics == tuple(LOWER_IS_BETTER)]
    return [table for ranking in made for table in (_beside(ranking, remark), _findings(ranking, remark))]


def _beside(ranking: Ranking, remark: str) -> Table:
    theirs = published_ranks(ranking.titles)
    columns: dict[str, pd.Series[Any]] = {}
    for metric in LOWER_IS_BETTER:
        columns |= {f"{metric}_rank": ranking.ranks[metric], f"{metric}_rank_paper": theirs[metric]}
    columns |= {"RTE": _own_rte(ranking), "RTE_paper": published("table2").set_index("method")["average"]}
    data = pd.DataFrame(columns).reindex(list(ranking.titles)).rename_axis("method").reset_index()
    data.insert(1, "method_title", data["method"].map(ranking.titles))
    correlations = [_correlation(data, metric, f"{metric}_rank") for metric in LOWER_IS_BETTER]
    correlations.append(_correlation(data, "RTE", "RTE"))
    caption = (
        f"{ranking.trust} {remark}Ranks over our cells beside those that the paper's Table 1 (nine cells) gives "
        "among the methods that were run here; mean RTE, of methods that ran on all of our datasets, beside its "
        f"Table 2 ({RTE_ARCH}). Spearman's rank correlation: {'; '.join(correlations)}. "
        f"{caption_text(describe(ranking.rows))}"
    )
    shown = data.drop(columns="method").rename(columns=lambda name: str(name).replace("_", " "))
    shown = shown.rename(columns={"method title": "method"})
    for name in shown.columns.drop("method"):
        digits = ".2f" if "RTE" in name else ".0f"
        shown[name] = [("" if pd.isna(value) else f"{value:{digits}}") for value in shown[name]]
    return Table(
        ranking.name.replace("ranking", "paper", 1),
        f"Against the paper{ranking.kind}",
        caption,
        data,
        shown.astype(str),
    )


def _own_rte(ranking: Ranking) -> pd.Series[float]:
    rows = ranking.rows
    own = rows[(rows["arch"] == RTE_ARCH) & rows["usable"]]
    means = own.groupby(["method", "column"])["RTE"].mean().unstack()
    return means.mean(axis=1, skipna=False)  # over datasets: no method is held against another that ran on fewer


def _correlation(data: pd.DataFrame, name: str, column: str) -> str:
    pairs = data[[column, f"{column}_paper"]].dropna()
    if len(pairs) < 3 or (pairs.nunique() < 2).any():
        return f"{name} not defined ({len(pairs)} methods)"
    return f"{name} {spearmanr(pairs[column], pairs[f'{column}_paper']).statistic:.2f} ({len(pairs)} methods)"


# ------------------------------------------------------------------------------------------------------------- findings


def _findings(ranking: Ranking, remark: str) -> Table:
    """A plain statement per finding of the paper."""
    cells = ranking.groups["RetDev"].shape[1]
    lines = [(one.text, _verdict(ranking, one, cells)) for one in FINDINGS]
    data = pd.DataFrame(lines, columns=["finding", "our results"])
    caption = (
        f"{ranking.trust} {remark}Over {cells} cells of ours; below {FEWEST_CELLS}, where a method is missing or not "
        "ranked, or where what is said of some methods holds for all that were run, nothing can be told. "
        f"{caption_text(describe(ranking.rows))}"
    )
    name = ranking.name.replace("ranking", "findings", 1)
    return Table(name, f"The paper's findings{ranking.kind}", caption, data, data.astype(str), {"finding": 12})


class Finding(NamedTuple):
    """text: in the paper's sense; methods: that it is about; metrics: whose ranks it rests on; among: the methods of a
    ranking for which it holds, None where a tie leaves it open.
    """

    text: str
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    among: Callable[[Ranking], set[str] | None]


def _verdict(ranking: Ranking, finding: Finding, cells: int) -> str:
    missing = [method for method in finding.methods if method not in ranking.titles]
    if missing:
        return f"not run: {', '.join(missing)}"
    if cells < FEWEST_CELLS:
        return f"not enough cells ({cells})"
    for metric in finding.metrics:
        if ranking.judged[metric].refused:
            return f"cannot tell: {metric} is not ranked, since {ranking.judged[metric].refused}"
        if left := [method for method in finding.methods if method not in ranking.ranks[metric]]:
            return f"cannot tell: not ranked by {metric}: {', '.join(left)}"
    found = finding.among(ranking)
    if found is None or found >= set(ranking.titles):
        return "cannot tell: " + ("the methods tie" if found is None else "it holds for all methods that were run")
    return "agrees" if found >= set(finding.methods) else "disagrees"


def _reliable(ranking: Ranking) -> set[str]:
    counts = ranking.counts("RetDev")
    return set(counts.index[(counts["F"] == 0) & (counts["G1"] > counts.sum(axis=1) / 2)])


def _negative_gradient_beats_ascent(ranking: Ranking) -> set[str] | None:
    """Both, where NG+ is before GA; none, where it is behind by some metric; None for a tie."""
    pairs = [(ranks["ngplus"], ranks["ga"]) for ranks in ranking.ranks.values()]
    if any(one > other for one, other in pairs):
        return set()
    return None if any(one == other for one, other in pairs) else {"ngplus", "ga"}


def _lead(ranking: Ranking) -> set[str]:
    sums = sum(ranking.ranks.values())
    assert isinstance(sums, pd.Series)
    return set(sums.index[sums.isin(sorted(sums.dropna().unique())[:2])])


def _top_three_twice(ranking: Ranking) -> set[str]:
    return set.intersection(*(set(ranks.index[ranks <= 3]) for ranks in ranking.ranks.values()))


BOTH = tuple(LOWER_IS_BETTER)
FINDINGS = (
    Finding(
        "FT is a reliable baseline: it fails nowhere and is in RetDev's best group in most cells",
        ("ft",), ("RetDev",), _reliable,
    ),
    Finding(
        "GA is poor, NG+ better: NG+ ranks before GA by both metrics",
        ("ga", "ngplus"), BOTH, _negative_gradient_beats_ascent,
    ),
    Finding("MSG and CT are best in both: theirs are the lowest two sums of ranks", ("msg", "ct"), BOTH, _lead),
    Finding("MSG, CT and KDE are in the top three ranks of both metrics", ("msg", "ct", "kde"), BOTH, _top_three_twice),
)  # fmt: skip
