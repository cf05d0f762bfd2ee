"""Mean and standard deviation over seeds, per result set and method, and who failed where."""

from __future__ import annotations

import pandas as pd

from deepunlearn.analysis.attack_noise import contradicted
from deepunlearn.analysis.coverage import GROUP, HOLES, reasons
from deepunlearn.analysis.rows import REFERENCES, current, remembered
from deepunlearn.metrics import LEAST_MOVE
from deepunlearn.metrics.catalogue import BUILT_IN
from deepunlearn.metrics.row import NAMES

FAILED, INCOMPLETE, NOT_APPLICABLE = "F", "incomplete", "n/a"  # of a method in a cell
UNDEFINED = "RetDev undefined"  # how the reason of a usable model without RetDev begins


@remembered
def aggregate(frame: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """One line per result set and method, the original and retrained models of its report seeds first.

    frame: what `rows.collect` returned; cases: what `coverage.outcomes` made of it. Columns: `GROUP`, dataset, arch,
    method_title, n_usable, n_seeds (report seeds of the result set), usable ("9/10"), status, reason, n_contradicted
    (usable models that are `contradicted`), and for each of `averaged` its `_mean` and `_sd` (ddof = 1, empty for one
    model) over the usable models. A mean that some usable model has no value for is empty, for it would not be the
    mean over the usable models.

    status: "F" where fewer models are usable than the result set has report seeds (protocol section 5), "incomplete"
    where this is only because some were not run, "n/a" where the method cannot be applied there, otherwise "".
    """
    seeds = _report_seeds(cases)
    scored, asked = _with_references(current(frame), seeds), _with_references(cases, seeds)
    table = asked.groupby(GROUP).agg(dataset=("dataset", "first"), arch=("arch", "first"), n_usable=("usable", "sum"))
    titles, names = method_titles(frame), table.index.get_level_values("method")
    table["method_title"] = pd.Series([titles.get(name, name) for name in names], index=table.index, dtype="string")
    table = table.join(seeds.groupby(["cell", "result_set"]).size().rename("n_seeds"))
    table["usable"] = table["n_usable"].astype(str) + "/" + table["n_seeds"].astype(str)
    table["status"] = _status(table, asked)
    table["reason"] = asked.groupby(GROUP)[["outcome", "usable", "why", "reason"]].apply(reasons)
    table["n_contradicted"] = _contradicted(scored).reindex(table.index, fill_value=0)
    for remark in (_unmoved(scored), _undefined(scored)):
        table["reason"] += remark.reindex(table.index, fill_value="").astype("string")
    table["reason"] = (table["reason"] + _doubt(table["n_contradicted"])).str.removeprefix("; ")
    joined = table.join(_means(scored)).copy()  # in few blocks: measures may be more than a hundred columns
    return _in_order(joined.reset_index())


def standing(lines: pd.DataFrame) -> dict[str, str]:
    """Method -> why it is not like the others, none of those with all models: "F, 1 of 2", of several sets "F in 1".

    lines: of `aggregate`, of the result sets that are shown together; references are left out.
    """
    short = lines[(lines["status"] != "") & ~lines["method"].isin(REFERENCES)]
    several = lines.groupby(["cell", "result_set"]).ngroups > 1
    return {str(method): _in_brief(own, several) for method, own in short.groupby("method")}


def _in_brief(short: pd.DataFrame, several: bool) -> str:
    if several:
        counts = short.groupby("status").size()
        return ", ".join(f"{status} in {count}" for status, count in counts.items())
    status, usable = short[["status", "usable"]].iloc[0]
    return NOT_APPLICABLE if status == NOT_APPLICABLE else f"{status}, {usable.replace('/', ' of ')}"


def method_titles(frame: pd.DataFrame) -> dict[str, str]:
    """method -> its title in the latest row of any cell, so that a method has one title wherever it failed."""
    latest = frame.sort_values("date", kind="stable")
    return dict(zip(latest["method"].tolist(), latest["method_title"].tolist(), strict=True))


def _unmoved(scored: pd.DataFrame) -> pd.Series[str]:
    """Says of models that are the original, or all but, that they are, with what the run noted, e.g. SCRUB's rewinding.

    Running statistics are told apart from weights: a method may move these alone.
    """
    still = scored[(scored["moved"] < LEAST_MOVE) & ~scored["method"].isin(REFERENCES)]
    buffers = still["moved_buffers"].fillna(0.0)
    kinds = pd.Series("did not move", index=still.index)
    kinds = kinds.mask(buffers >= LEAST_MOVE, "moved statistics alone, no weights")
    kinds = kinds.mask((still["moved"] == 0) & (buffers == 0), "equal to the original " + still["notes"].fillna(""))
    keys = [still[name] for name in GROUP]
    return kinds.groupby(keys).agg(lambda own: "".join(f"; {len(same)} {kind}" for kind, same in own.groupby(own)))


def _undefined(scored: pd.DataFrame) -> pd.Series[str]:
    """Says of usable models without RetDev or attack why they have none."""
    bare = scored[scored["usable"] & scored["reason"].notna()]
    return bare.groupby(GROUP)["reason"].agg(lambda reasons: f"; {len(reasons)} {reasons.iloc[0]}")


def _contradicted(scored: pd.DataFrame) -> pd.Series[int]:
    found = scored["usable"] & contradicted(scored)
    return found.groupby([scored[name] for name in GROUP]).sum().astype("int64")


def _doubt(counts: pd.Series[int]) -> pd.Series[str]:
    return counts.map(lambda count: f"; {count} with Indisc against Disc_AUC" if count else "").astype("string")


def result_set_rows(frame: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """The rows that count, the references of a cell repeated for each of its result sets."""
    return _with_references(current(frame), _report_seeds(cases))


def with_names(table: pd.DataFrame) -> pd.DataFrame:
    """`table` (dataset, arch, cell, result_set) and `name`, that of each result set's files.

    dataset-arch, followed by the result set's first digits where a dataset and arch have several.
    """
    stem = table["dataset"] + "-" + table["arch"]
    ids = table["result_set"].where(table["result_set"] != "", table["cell"])
    several = ids.groupby(stem).transform("nunique") > 1
    return table.assign(name=stem.mask(several, stem + "-" + ids.str[:8]))


def _report_seeds(cases: pd.DataFrame) -> pd.DataFrame:
    """cell, result_set, seed: every report seed of each result set; of cells without one, those of the references."""
    methods = cases[cases["result_set"] != ""]
    alone = cases[~cases["cell"].isin(methods["cell"])]
    return pd.concat([methods, alone])[["cell", "result_set", "seed"]].drop_duplicates()


def _with_references(table: pd.DataFrame, seeds: pd.DataFrame) -> pd.DataFrame:
    """`table` (rows or outcomes) with its references on the report seeds of each result set of their cell."""
    is_reference = table["result_set"] == ""
    references = table[is_reference].drop(columns="result_set").merge(seeds, on=["cell", "seed"])
    return pd.concat([table[~is_reference], references[list(table)]], ignore_index=True)


def _status(table: pd.DataFrame, asked: pd.DataFrame) -> pd.Series[str]:
    """In words of `aggregate`. What cannot be applied is no failure, unless another model of the method failed."""
    short = table["n_usable"] < table["n_seeds"]
    bare = asked["outcome"] == "not_applicable"
    lost = ~asked["usable"] & ~asked["outcome"].isin(HOLES) & ~bare
    n_lost, n_bare = (kind.groupby([asked[name] for name in GROUP]).sum().reindex(table.index) for kind in (lost, bare))
    status = pd.Series("", index=table.index, dtype="string").mask(short, INCOMPLETE)
    return status.mask(short & n_bare.gt(0), NOT_APPLICABLE).mask(short & n_lost.gt(0), FAILED)


def _means(scored: pd.DataFrame) -> pd.DataFrame:
    names = averaged(scored)
    groups = scored[scored["usable"]].groupby(GROUP)[names]
    complete = groups.count().eq(groups.size(), axis="index")
    mean, sd = groups.mean().where(complete), groups.std(ddof=1).where(complete)
    both = mean.add_suffix("_mean").join(sd.add_suffix("_sd"))
    return both[[f"{name}_{statistic}" for name in names for statistic in ("mean", "sd")]]


def averaged(frame: pd.DataFrame) -> list[str]:
    """The columns of `frame` that are averaged over seeds: the scores that tables show, and those of added measures."""
    return [*(column.name for column in BUILT_IN.shown), *(str(name) for name in frame if name not in NAMES)]


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    first = table["method"].map({name: position for position, name in enumerate(REFERENCES)}).fillna(len(REFERENCES))
    keys = table.assign(first=first, by_title=table["method_title"].str.casefold())
    order = keys.sort_values(["dataset", "arch", "cell", "result_set", "first", "by_title", "method"]).index
    return table.loc[order].reset_index(drop=True)
