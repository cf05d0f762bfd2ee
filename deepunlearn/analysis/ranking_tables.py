"""Tables over all cells: ranking (the paper's table 1), RTE per dataset (its table 2), reliability, distances."""

from __future__ import annotations

from typing import Any

import pandas as pd

from deepunlearn.analysis.aggregate import aggregate
from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.rank import COUNTED, FAILED, LOWER_IS_BETTER
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import REFERENCES, current

LEGEND = (
    "Cells in which a method is in the best (G1), middle and worst group of its metric, or failed (F); rank: most G1 "
    "first, then G2, then G3; 95 %: ranks in that share of 1,000 bootstraps over seeds. Groups: Ward clusters of the "
    "means over seeds. Disagree: the two metrics' rank intervals have no rank in common."
)


def over_cells(ranked: list[Ranking], frame: pd.DataFrame, cases: pd.DataFrame, remark: str) -> list[Table]:
    """All tables that put cells together, `ranked` (what `rankings` returned) first; none where no method was run."""
    ranks = [table for one in ranked for table in _of_ranking(one, remark)]
    return [*ranks, *_rte(frame, remark), *_reliability(frame, cases, remark), *_distances(frame, remark)]


# -------------------------------------------------------------------------------------------------------------- ranking


def _of_ranking(ranking: Ranking, remark: str) -> list[Table]:
    facts = caption_text(describe(ranking.rows))
    left_out = f"{ranking.left_out}. " if ranking.left_out else ""
    before, after = f"{remark}{left_out}", f" {facts}"
    data = _ranks(ranking)
    tables = [
        Table(
            ranking.name, f"Ranking, {ranking.scope}{ranking.kind}", before + LEGEND + after, data, _ranks_shown(data)
        )
    ]
    if ranking.scope == "all cells":
        tables += [_groups(ranking, before, after), _neighbours(ranking, before, after)]
    return tables


def _ranks(ranking: Ranking) -> pd.DataFrame:
    """A line per method, best RetDev rank first; for each metric the counts, the rank and its interval."""
    columns: dict[str, pd.Series[int]] = {}
    for metric in LOWER_IS_BETTER:
        counts, interval = ranking.counts(metric), ranking.bootstraps[metric].interval
        columns |= {f"{metric}_{name}": counts[name] for name in COUNTED}
        columns |= {f"{metric}_rank": ranking.ranks[metric]}
        columns |= {f"{metric}_rank_low": interval["low"], f"{metric}_rank_high": interval["high"]}
    data = pd.DataFrame(columns).rename_axis("method").reset_index()
    data.insert(1, "method_title", data["method"].map(ranking.titles))
    data["disagree"] = [ranking.disagree(method) for method in data["method"]]
    order = data["method_title"].str.casefold()
    return data.assign(order=order).sort_values(["RetDev_rank", "Indisc_rank", "order"]).drop(columns="order")


def _ranks_shown(data: pd.DataFrame) -> pd.DataFrame:
    shown = {"method": data["method_title"]}
    for metric in LOWER_IS_BETTER:
        shown |= {f"{metric} {name}": data[f"{metric}_{name}"] for name in COUNTED}
        shown[f"{metric} rank"] = data[f"{metric}_rank"]
        shown[f"{metric} 95 %"] = (
            data[f"{metric}_rank_low"].astype(str) + " to " + data[f"{metric}_rank_high"].astype(str)
        )
    shown["metrics"] = data["disagree"].map({True: "disagree", False: ""})
    return pd.DataFrame(shown).astype(str)


def _groups(ranking: Ranking, before: str, after: str) -> Table:
    """Methods x cells x metrics: the group, and how often the bootstrap gave each."""
    lines: list[dict[str, Any]] = [
        {
            "method": method,
            "method_title": ranking.titles[method],
            "cell": str(cell),
            "metric": metric,
            "group": group,
            **{f"p_{name}": ranking.bootstraps[metric].share(name, method, str(cell)) for name in COUNTED},
        }
        for metric, groups in ranking.groups.items()
        for method in ranking.titles
        for cell, group in groups.loc[method].items()
    ]
    data = pd.DataFrame(lines)
    sure = [f"{line['group']} ({line['p_' + line['group']]:.2f})" for line in lines]
    column = data["cell"] + ": " + data["metric"]
    wide = data.assign(column=column, shown=sure).pivot(index="method", columns="column", values="shown")
    wide.index = wide.index.map(ranking.titles)
    caption = f"{before}Group of each method in each cell, and the share of bootstraps over seeds that agree.{after}"
    shown = wide.rename_axis("method").rename_axis(columns=None).reset_index().astype(str)
    return Table(ranking.name.replace("ranking", "groups", 1), f"Groups per cell{ranking.kind}", caption, data, shown)


def _neighbours(ranking: Ranking, before: str, after: str) -> Table:
    data = pd.concat(
        [neighbours.assign(metric=metric) for metric, neighbours in ranking.neighbours.items()], ignore_index=True
    )
    caption = (
        f"{before}Methods in order of their means in a cell, each against the next: Wilcoxon's signed-rank test over "
        f"seeds, Holm's correction within cell and metric; below 6 seeds it cannot tell.{after}"
    )
    shown = data.assign(
        better=data["better"].map(ranking.titles),
        worse=data["worse"].map(ranking.titles),
        p=data["p"].map(lambda p: "" if pd.isna(p) else f"{p:.3f}"),
    )
    return Table(
        ranking.name.replace("ranking", "neighbours", 1),
        f"Neighbours in the ranking{ranking.kind}",
        caption,
        data,
        shown[["cell", "metric", "better", "worse", "p", "verdict"]].astype(str),
    )


# --------------------------------------------------------------------------------------- RTE, reliability, distances


def _rte(frame: pd.DataFrame, remark: str) -> list[Table]:
    """Per architecture, the mean RTE per dataset and their mean, methods that ran on all of them first."""
    rows = current(frame)
    rows = rows[rows["usable"] & ~rows["method"].isin(REFERENCES) & rows["RTE"].notna()]
    return [_rte_table(str(arch), own, remark) for arch, own in rows.groupby("arch")]


def _rte_table(arch: str, rows: pd.DataFrame, remark: str) -> Table:
    means = rows.groupby(["method", "method_title", "search", "dataset_title"])["RTE"].mean().unstack()
    data = means.assign(average=means.mean(axis=1, skipna=False)).sort_values("average", ascending=False).reset_index()
    shown = data.drop(columns="method").rename(columns={"method_title": "method"})
    numbers = [name for name in shown if name not in ("method", "search")]
    for name in numbers:
        shown[name] = shown[name].map(lambda value: "n/a" if pd.isna(value) else f"{value:.2f}")
    title = f"RTE per dataset, {rows['arch_title'].iloc[0]}"
    caption = (
        f"{remark}How many times faster than retraining, mean over usable models (retraining has 1); the average is "
        f"over the datasets, n/a where one is missing. Timed with no other worker of the sweep on the device, or on "
        f"the machine if that is a CPU. {caption_text(describe(rows))}"
    )
    return Table(f"rte-{arch}", title, caption, data, shown.astype(str))


def _reliability(frame: pd.DataFrame, cases: pd.DataFrame, remark: str) -> list[Table]:
    """How many of a method's models are usable, and how far seeds spread within a cell."""
    table = aggregate(frame, cases)
    table = table[~table["method"].isin(REFERENCES)]
    if table.empty:
        return []
    grouped = table.groupby(["method", "method_title"])
    data = grouped.agg(
        usable=("n_usable", "sum"),
        models=("n_seeds", "sum"),
        result_sets=("cell", "size"),
        failed_in=("status", lambda status: int((status == FAILED).sum())),
        RetDev_sd=("RetDev_sd", "mean"),
        Indisc_sd=("Indisc_sd", "mean"),
        TA_sd=("TA_sd", "mean"),
    ).reset_index()
    data = data.sort_values(["failed_in", "RetDev_sd", "method_title"])
    shown = pd.DataFrame(
        {
            "method": data["method_title"],
            "usable models": data["usable"].astype(str) + "/" + data["models"].astype(str),
            "failed in": data["failed_in"].astype(str) + " of " + data["result_sets"].astype(str),
            **{f"sd of {name}": data[f"{name}_sd"].map(_digits) for name in ("RetDev", "Indisc", "TA")},
        }
    )
    caption = (
        f"{remark}Usable models over all result sets, result sets in which the method failed, and the standard "
        f"deviation over seeds, mean over result sets. {caption_text(describe(current(frame)))}"
    )
    return [Table("reliability", "Reliability", caption, data, shown.astype(str))]


def _distances(frame: pd.DataFrame, remark: str) -> list[Table]:
    """Relative weight distances to the original and to the retrained model."""
    rows = current(frame)
    rows = rows[rows["L2_original_rel"].notna() & rows["L2_retrained_rel"].notna()]
    if rows.empty:
        return []
    grouped = rows.groupby(["dataset_title", "arch_title", "search", "method", "method_title"], dropna=False)
    data = grouped[["L2_original_rel", "L2_retrained_rel"]].agg(["mean", "std"])
    data = data.set_axis(["_".join(column) for column in data.columns], axis="columns").reset_index()
    shown = data[["dataset_title", "arch_title", "search", "method_title"]].astype("string").fillna("")
    for name in ("L2_original_rel", "L2_retrained_rel"):
        mean, spread = data[f"{name}_mean"].map(_digits), data[f"{name}_std"].map(_digits)
        shown[name.replace("_rel", "").replace("L2_", "to ")] = mean + spread.map(lambda sd: f" ± {sd}" if sd else "")
    caption = (
        f"{remark}L2 distance of the weights to the original and the retrained model, over the norm of the latter, "
        f"mean and standard deviation over seeds. {caption_text(describe(rows))}"
    )
    titled = shown.rename(columns=lambda name: str(name).removesuffix("_title"))
    return [Table("distances", "Distances to the references", caption, data, titled.astype(str))]


def _digits(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3g}"
