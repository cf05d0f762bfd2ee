"""Our ranking beside the paper's: Table 1 and Table 2 of Cadet et al. 2024 (arXiv 2410.01276, version 1)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from io import StringIO
from typing import Any

import pandas as pd
from scipy.stats import spearmanr

from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.rank import LOWER_IS_BETTER, dense_ranks
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.analysis.render import Table

FEWEST_CELLS = 3  # of the paper's nine, for a statement about its findings
RTE_ARCH = "resnet18"  # of Table 2
Ranks = dict[str, "pd.Series[int]"]


def published(table: str) -> pd.DataFrame:
    """`table1` (metric, method, G1, G2, G3, F over nine cells) or `table2` (RTE per dataset, ResNet18)."""
    text = (files("deepunlearn.analysis") / "published" / f"{table}.csv").read_text(encoding="utf-8")
    return pd.read_csv(StringIO(text))


def published_ranks() -> Ranks:
    """Metric -> rank of each method, as the paper's counts give them."""
    table = published("table1").set_index("method")
    return {metric: dense_ranks(table[table["metric"] == metric].drop(columns="metric")) for metric in LOWER_IS_BETTER}


def against_paper(ranked: list[Ranking], remark: str) -> list[Table]:
    """For each ranking over all cells: ranks and RTE beside the paper's, and what became of its findings."""
    made = [ranking for ranking in ranked if ranking.scope == "all cells"]
    return [table for ranking in made for table in (_beside(ranking, remark), _findings(ranking, remark))]


def _beside(ranking: Ranking, remark: str) -> Table:
    theirs = published_ranks()
    columns: dict[str, pd.Series[Any]] = {}
    for metric in LOWER_IS_BETTER:
        columns |= {f"{metric}_rank": ranking.ranks[metric], f"{metric}_rank_paper": theirs[metric]}
    columns |= {"RTE": _own_rte(ranking), "RTE_paper": published("table2").set_index("method")["average"]}
    data = pd.DataFrame(columns).loc[list(ranking.ranks["RetDev"].index)].rename_axis("method").reset_index()
    data.insert(1, "method_title", data["method"].map(ranking.titles))
    correlations = [_correlation(data, metric, f"{metric}_rank") for metric in LOWER_IS_BETTER]
    correlations.append(_correlation(data, "RTE", "RTE"))
    caption = (
        f"{remark}Ranks over our cells beside those of the paper's Table 1 (nine cells), mean RTE beside its Table 2 "
        f"({RTE_ARCH}). Spearman's rank correlation: {'; '.join(correlations)}. {caption_text(describe(ranking.rows))}"
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
    return own.groupby(["method", "dataset"])["RTE"].mean().groupby("method").mean()


def _correlation(data: pd.DataFrame, name: str, column: str) -> str:
    pairs = data[[column, f"{column}_paper"]].dropna()
    if len(pairs) < 3 or (pairs.nunique() < 2).any():
        return f"{name} not defined ({len(pairs)} methods)"
    return f"{name} {spearmanr(pairs[column], pairs[f'{column}_paper']).statistic:.2f} ({len(pairs)} methods)"


# ------------------------------------------------------------------------------------------------------------- findings


def _findings(ranking: Ranking, remark: str) -> Table:
    """A plain statement per finding of the paper."""
    cells = ranking.groups["RetDev"].shape[1]
    lines = [(text, _verdict(ranking, methods, holds, cells)) for text, methods, holds in FINDINGS]
    data = pd.DataFrame(lines, columns=["finding", "our results"])
    caption = (
        f"{remark}Over {cells} cells of ours; below {FEWEST_CELLS}, or where a method is missing, nothing is said. "
        f"{caption_text(describe(ranking.rows))}"
    )
    name = ranking.name.replace("ranking", "findings", 1)
    return Table(name, f"The paper's findings{ranking.kind}", caption, data, data.astype(str), {"finding": 12})


def _verdict(ranking: Ranking, methods: tuple[str, ...], holds: Callable[[Ranking], bool], cells: int) -> str:
    missing = [method for method in methods if method not in ranking.titles]
    if missing:
        return f"not run: {', '.join(missing)}"
    if cells < FEWEST_CELLS:
        return f"not enough cells ({cells})"
    return "agrees" if holds(ranking) else "disagrees"


def _reliable(ranking: Ranking) -> bool:
    counts = ranking.counts("RetDev").loc["ft"]
    return bool(counts["F"] == 0 and counts["G1"] > counts.sum() / 2)


def _negative_gradient_beats_ascent(ranking: Ranking) -> bool:
    return all(ranks["ngplus"] < ranks["ga"] for ranks in ranking.ranks.values())


def _lead(ranking: Ranking) -> bool:
    sums = sum(ranks for ranks in ranking.ranks.values())
    assert isinstance(sums, pd.Series)
    leading = sorted(sums.unique())[:2]
    return all(sums[method] in leading for method in ("msg", "ct"))


def _top_three_twice(ranking: Ranking) -> bool:
    return all(ranks[method] <= 3 for ranks in ranking.ranks.values() for method in ("msg", "ct", "kde"))


FINDINGS: tuple[tuple[str, tuple[str, ...], Callable[[Ranking], bool]], ...] = (
    ("FT is a reliable baseline: it fails nowhere and is in RetDev's best group in most cells", ("ft",), _reliable),
    ("GA is poor, NG+ better: NG+ ranks before GA by both metrics", ("ga", "ngplus"), _negative_gradient_beats_ascent),
    ("MSG and CT are best in both: theirs are the lowest two sums of ranks", ("msg", "ct"), _lead),
    ("MSG, CT and KDE are in the top three ranks of both metrics", ("msg", "ct", "kde"), _top_three_twice),
)
