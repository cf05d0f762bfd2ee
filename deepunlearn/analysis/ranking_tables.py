"""Tables over all cells: ranking (the paper's table 1), RTE per dataset (its table 2), reliability, distances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from deepunlearn.analysis import choices
from deepunlearn.analysis.aggregate import aggregate, standing
from deepunlearn.analysis.inference import FEWEST_SEEDS, LEVEL, CriticalDifference
from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.rank import COUNTED, FAILED, NOT_APPLICABLE, mid_places
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import REFERENCES, current
from deepunlearn.analysis.sets import asked_for, kind_names, kinds
from deepunlearn.analysis.trust import TOO_FEW

LEGEND = (
    "Cells in which a method is in the best (G1), middle and worst group of its metric, or failed (F); rank: most G1 "
    "first, then G2, then G3; mean: over the cells, n/a where one is missing; place: where equal ranks share the mean "
    "of their places, with the places in 95 % of 1,000 bootstraps over seeds, cells and hyper-parameters held fixed "
    f"({TOO_FEW}); mean place: over cells, by the means. Groups: Ward clusters of the means over seeds; G1 is the "
    "cluster of the best means and does not say that its methods are equal: that is what the table of differences "
    "tests. Disagree: the two metrics' intervals have no place in common."
)


def over_cells(ranked: list[Ranking], frame: pd.DataFrame, cases: pd.DataFrame, remark: str) -> list[Table]:
    """All tables that put cells together, `ranked` (what `rankings` returned) first; none where no method was run."""
    ranks = [table for one in ranked for table in _of_ranking(one, remark)]
    return [*ranks, *_rte(frame, cases, remark), *_reliability(frame, cases, remark), *_distances(frame, remark)]


# -------------------------------------------------------------------------------------------------------------- ranking


def _of_ranking(ranking: Ranking, remark: str) -> list[Table]:
    facts = caption_text(describe(ranking.rows))
    left_out = f"{ranking.left_out}. " if ranking.left_out else ""
    before, after = f"{ranking.trust} {remark}{left_out}", f" {facts}"
    data = _ranks(ranking)
    title = f"Ranking, {ranking.scope}{ranking.kind}"
    told = f"{before}{LEGEND}{_differences(ranking)}{after}"
    tables = [Table(ranking.name, title, told, data, _ranks_shown(ranking, data))]
    if ranking.scope == "all cells":
        tables += [_groups(ranking, before, after), _best(ranking, before, after), _neighbours(ranking, before, after)]
        tables += _choices(ranking, choices.table(ranking), before, after)
    return tables


def _choices(ranking: Ranking, data: pd.DataFrame, before: str, after: str) -> list[Table]:
    """How the answer depends on the choices, where something is ranked."""
    if data.empty:
        return []
    shown = data.assign(tau=data["tau"].map(lambda tau: "n/a" if pd.isna(tau) else f"{tau:.2f}")).astype(str)
    name, caption = ranking.name.replace("ranking", "choices", 1), f"{before}{choices.EXPLAINED}{after}"
    widths = {"best": 7.0, "missing": 5.0}
    return [Table(name, f"How the answer depends on the choices{ranking.kind}", caption, data, shown, widths)]


def _differences(ranking: Ranking) -> str:
    """What the mean places over cells can tell (Demsar 2006)."""
    said = [_difference(metric, one.difference) for metric, one in ranking.judged.items() if one.difference]
    return f" {' '.join(said)}" if said else ""


def _difference(metric: str, neighbours: CriticalDifference) -> str:
    methods = len(neighbours.places)
    if neighbours.difference >= methods - 1:
        why = f"no two of {methods} methods can be that far apart"
    elif neighbours.p >= LEVEL:
        why = "the places of the methods over cells do not differ more than by chance"
    else:
        why = "places further apart differ"
    known = f"critical difference of mean places {neighbours.difference:.2f} (Nemenyi; Friedman p = {neighbours.p:.3f})"
    return f"{metric}: {known}: {why}."


def _ranks(ranking: Ranking) -> pd.DataFrame:
    """A line per method, best rank by the first metric first; by metric counts, mean, rank, place and its interval."""
    columns: dict[str, pd.Series[Any]] = {}
    methods = list(ranking.titles)
    for metric in ranking.metrics:
        counts, ranks = ranking.counts(metric).reindex(methods), ranking.ranks[metric].astype("Int64")
        columns |= {f"{metric}_{name}": counts[name] for name in COUNTED}
        columns |= {f"{metric}_mean": ranking.scores[metric].means().mean(axis=1, skipna=False)}
        columns |= {f"{metric}_rank": ranks.reindex(methods)}
        places = pd.Series(mid_places(ranks.to_numpy(int)), index=ranks.index, dtype=float)
        columns |= {f"{metric}_place": places.reindex(methods)}
        interval, neighbours = ranking.interval(metric).reindex(methods), ranking.judged[metric].difference
        columns |= {f"{metric}_place_low": interval["low"], f"{metric}_place_high": interval["high"]}
        bare = pd.Series(float("nan"), index=methods)
        columns |= {f"{metric}_mean_place": bare if neighbours is None else neighbours.places.reindex(methods)}
    data = pd.DataFrame(columns, index=methods).rename_axis("method").reset_index()
    data.insert(1, "method_title", data["method"].map(ranking.titles))
    data["disagree"] = [ranking.disagree(method) for method in methods]
    order = data["method_title"].str.casefold()
    keys = [*(f"{metric}_rank" for metric in ranking.metrics), f"{ranking.metrics[0]}_mean", "order"]
    return data.assign(order=order).sort_values(keys).drop(columns="order").reset_index(drop=True)


def _ranks_shown(ranking: Ranking, data: pd.DataFrame) -> pd.DataFrame:
    shown: dict[str, Any] = {"method": data["method_title"]}
    for metric in ranking.metrics:
        shown |= {f"{metric} {name}": data[f"{metric}_{name}"] for name in COUNTED}
        shown[f"{metric} mean"] = data[f"{metric}_mean"].map(lambda mean: "n/a" if pd.isna(mean) else f"{mean:.3f}")
        none = "not told" if ranking.judged[metric].refused else "n/a"
        shown[f"{metric} rank"] = data[f"{metric}_rank"].astype("string").fillna(none)
        low, high = data[f"{metric}_place_low"], data[f"{metric}_place_high"]
        shown[f"{metric} place, 95 %"] = [
            none
            if pd.isna(position)
            else f"{position:g} [{TOO_FEW}]"
            if pd.isna(one)
            else f"{position:g} [{one:g} to {other:g}]"
            for position, one, other in zip(data[f"{metric}_place"], low, high, strict=True)
        ]
        mean = data[f"{metric}_mean_place"]
        shown[f"{metric} mean place"] = mean.map(lambda position: "n/a" if pd.isna(position) else f"{position:.1f}")
    shown["metrics"] = data["disagree"].map({True: "disagree", False: ""})
    return pd.DataFrame(shown).astype(str)


def _groups(ranking: Ranking, before: str, after: str) -> Table:
    """Methods x cells x metrics: the mean, its group, and how often the bootstrap gave each."""
    lines = [line for metric in ranking.groups for line in _groups_by(ranking, metric)]
    data = pd.DataFrame(lines)
    column = data["cell"] + ": " + data["metric"]
    wide = data.assign(column=column, shown=list(map(_group_shown, lines)))
    wide = wide.pivot(index="method", columns="column", values="shown")
    wide.index = wide.index.map(ranking.titles)
    caption = (
        f"{before}Mean of each method in each cell, its group, and the share of bootstraps over seeds that agree "
        f"({TOO_FEW}). ~: the grouping is within noise, since the methods' means spread no more than seeds make them "
        f"(F-test of repeated measures, p at least {LEVEL:g}, or 1 seed).{after}"
    )
    shown = wide.rename_axis("method").rename_axis(columns=None).reset_index().astype(str)
    return Table(ranking.name.replace("ranking", "groups", 1), f"Groups per cell{ranking.kind}", caption, data, shown)


def _groups_by(ranking: Ranking, metric: str) -> Iterator[dict[str, Any]]:
    """A line per method and cell."""
    own, bootstrap = ranking.scores[metric], ranking.judged[metric].bootstrap
    means, noise = own.means(), own.noise()
    for method, cell in product(ranking.titles, map(str, ranking.groups[metric])):
        drawn = bootstrap is not None and cell in bootstrap.shares and method in bootstrap.interval.index
        yield {
            "method": method,
            "method_title": ranking.titles[method],
            "cell": cell,
            "metric": metric,
            "mean": means.loc[method, cell],
            "group": ranking.groups[metric].loc[method, cell],
            "within_noise": own.values[cell].shape[1] > 1 and not noise[cell] < LEVEL,
            **{
                f"p_{name}": bootstrap.share(name, method, cell) if drawn and bootstrap else float("nan")
                for name in COUNTED
            },
        }


def _group_shown(line: dict[str, Any]) -> str:
    """ "0.031 G1 (0.98)"; "0.031 G1 ~" within noise; the state alone where there is no mean."""
    group, mean, share = line["group"], line["mean"], line.get(f"p_{line['group']}", float("nan"))
    value = "" if pd.isna(mean) else f"{mean:.3f} "
    return f"{value}{group}" + ("" if pd.isna(share) else f" ({share:.2f})") + (" ~" if line["within_noise"] else "")


def _best(ranking: Ranking, before: str, after: str) -> Table:
    """Each method against the best of its cell."""
    data = _by_metric(ranking.best)
    caption = (
        f"{before}Methods in order of their means in a cell, each against the first: paired t-test over seeds, Holm's "
        "correction over all pairs of methods of the cell, for the best was chosen by the same data. Difference: of "
        f"the means, from the best. Below {FEWEST_SEEDS} seeds it cannot tell.{after}"
    )
    shown = data.assign(
        method=data["method"].map(ranking.titles),
        mean=data["mean"].map(_three),
        difference=data["difference"].map(_three),
        p=data["p"].map(_three),
    )
    told = ["cell", "metric", "method", "mean", "difference", "p", "verdict"]
    name = ranking.name.replace("ranking", "differences", 1)
    return Table(name, f"Differences from the best{ranking.kind}", caption, data, shown[told].astype(str))


def _by_metric(tested: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The tests by each metric, one below the other."""
    return pd.concat([lines.assign(metric=metric) for metric, lines in tested.items()], ignore_index=True)


def _three(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}"


def _neighbours(ranking: Ranking, before: str, after: str) -> Table:
    data = _by_metric(ranking.neighbours)
    caption = (
        f"{before}Methods in order of their means in a cell, each against the next: Wilcoxon's signed-rank test over "
        "seeds, Holm's correction within cell and metric. Not testable: with the seeds on which the two differ and the "
        f"number of tests, no result could be significant.{after}"
    )
    shown = data.assign(
        better=data["better"].map(ranking.titles),
        worse=data["worse"].map(ranking.titles),
        p=data["p"].map(_three),
    )
    return Table(
        ranking.name.replace("ranking", "neighbours", 1),
        f"Neighbours in the ranking{ranking.kind}",
        caption,
        data,
        shown[["cell", "metric", "better", "worse", "p", "verdict"]].astype(str),
    )


# --------------------------------------------------------------------------------------- RTE, reliability, distances


def _rte(frame: pd.DataFrame, cases: pd.DataFrame, remark: str) -> list[Table]:
    """Per architecture and way of choosing hyper-parameters: the mean RTE of each result set, and their mean."""
    return [_rte_table(part, remark) for part in rte_parts(frame, cases)]


@dataclass(frozen=True)
class RtePart:
    """RTE on one architecture with hyper-parameters chosen in one way: rows, and means, methods x result sets.

    comparable: each result set is of another dataset, so that their mean is over datasets. short: what
    `aggregate.standing` says of its result sets.
    """

    name: str
    title: str
    rows: pd.DataFrame
    means: pd.DataFrame
    comparable: bool
    short: dict[str, str]

    @property
    def average(self) -> pd.Series[float]:
        """Over datasets, NaN where one is missing or they are not comparable."""
        neighbours = self.means.mean(axis=1, skipna=False)
        return neighbours if self.comparable else neighbours * float("nan")


def rte_parts(frame: pd.DataFrame, cases: pd.DataFrame) -> Iterator[RtePart]:
    """Usable models with an RTE; nothing is averaged over recipes, protocols, searches or numbers of trials."""
    rows = current(frame)
    rows = rows[~rows["method"].isin(REFERENCES)]
    if rows.empty:
        return
    rows, names, sets = rows.assign(kind=kinds(rows)), kind_names(rows), asked_for(rows, cases)
    lines = aggregate(frame, cases).merge(sets[["cell", "result_set", "kind"]], on=["cell", "result_set"])
    rows = rows.merge(sets[["cell", "result_set", "column"]], on=["cell", "result_set"])
    rows = rows[rows["usable"] & rows["RTE"].notna()]
    for (arch, number), own in rows.groupby(["arch", "kind"]):
        kind, dataset = int(str(number)), own["dataset_title"]
        suffix = f"-{kind + 1}" if len(names) > 1 else ""
        single = own.groupby("dataset")["result_set"].nunique().max() == 1
        twice = own.groupby("column")["result_set"].transform("nunique") > 1
        column = own["column"].mask(twice, own["column"] + " " + own["result_set"].str[:8])
        timed = own.assign(position=dataset if single else column)
        means = timed.groupby(["method", "position"])["RTE"].mean().unstack()
        short = standing(lines[(lines["arch"] == arch) & (lines["kind"] == kind)])
        title = f"{own['arch_title'].iloc[0]}{names[kind]}"
        yield RtePart(f"rte-{arch}{suffix}", title, own, means, bool(single), short)


def _rte_table(part: RtePart, remark: str) -> Table:
    titles = dict(zip(part.rows["method"], part.rows["method_title"], strict=True))
    data = part.means.assign(average=part.average) if part.comparable else part.means
    order = part.means.mean(axis=1, skipna=not part.comparable).sort_values(ascending=False, kind="stable").index
    data = data.loc[order].rename_axis(columns=None).reset_index()
    shown = data.assign(method=data["method"].map(titles))
    for name in shown.columns.drop("method"):
        shown[name] = shown[name].map(lambda value: "n/a" if pd.isna(value) else f"{value:.2f}")
    data.insert(1, "method_title", shown["method"])
    average = "the average is over the datasets, n/a where one is missing"
    unlike = "there is no average, since result sets of one dataset differ in how they were made"
    caption = (
        f"{remark}How many times faster than retraining, mean over usable models (retraining has 1); "
        f"{average if part.comparable else unlike}. Timed with no other worker of the sweep on the device, or on "
        f"the machine if that is a CPU. {caption_text(describe(part.rows))}"
    )
    return Table(part.name, f"RTE per dataset, {part.title}", caption, data, shown.astype(str))


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
        not_applicable_in=("status", lambda status: int((status == NOT_APPLICABLE).sum())),
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
            "not applicable in": data["not_applicable_in"].map(lambda count: str(count) if count else ""),
            **{f"sd of {name}": data[f"{name}_sd"].map(_digits) for name in ("RetDev", "Indisc", "TA")},
        }
    )
    caption = (
        f"{remark}Usable models over all result sets, result sets in which the method failed, and the standard "
        f"deviation over seeds, mean over result sets. {caption_text(describe(current(frame)))}"
    )
    return [Table("reliability", "Reliability", caption, data, shown.astype(str))]


def _distances(frame: pd.DataFrame, remark: str) -> list[Table]:
    """Relative weight distances of usable models to the original and to the retrained model."""
    rows = current(frame)
    rows = rows[rows["L2_original_rel"].notna() & rows["L2_retrained_rel"].notna()]
    of_models, rows = "" if rows["usable"].all() else " with a usable model", rows[rows["usable"]]
    if rows.empty:
        return []
    cell = ["dataset_title", "arch_title", *(["forget_title"] if rows["forget_title"].nunique() > 1 else [])]
    grouped = rows.groupby([*cell, "search", "cell", "result_set", "method", "method_title"], dropna=False)
    data = grouped[["L2_original_rel", "L2_retrained_rel"]].agg(["mean", "std"])
    data = data.set_axis(["_".join(column) for column in data.columns], axis="columns").reset_index()
    shown = data[[*cell, "search", "method_title"]].astype("string").fillna("")
    if shown.duplicated().any():  # result sets of one cell, or cells that differ in what is not said
        shown.insert(0, "result set", data["result_set"].where(data["result_set"] != "", data["cell"]).str[:8])
    else:
        data = data.drop(columns=["cell", "result_set"])
    for name in ("L2_original_rel", "L2_retrained_rel"):
        mean, spread = data[f"{name}_mean"].map(_digits), data[f"{name}_std"].map(_digits)
        shown[name.replace("_rel", "").replace("L2_", "to ")] = mean + spread.map(lambda sd: f" ± {sd}" if sd else "")
    caption = (
        f"{remark}L2 distance of the weights to the original and the retrained model, over the norm of the latter, "
        f"mean and standard deviation over seeds{of_models}. {caption_text(describe(rows))}"
    )
    titled = shown.rename(columns=lambda name: str(name).removesuffix("_title").replace("forget", "forget set"))
    return [Table("distances", "Distances to the references", caption, data, titled.astype(str))]


def _digits(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3g}"
