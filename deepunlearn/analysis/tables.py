"""The tables of an analysis: coverage, scores of each result set, hyper-parameters; captions state the conditions."""

from __future__ import annotations

import json
import math

import pandas as pd

from deepunlearn.analysis.aggregate import aggregate, result_set_rows
from deepunlearn.analysis.captions import caption_text, describe, remark_on, values_of
from deepunlearn.analysis.compare import against_paper
from deepunlearn.analysis.coverage import coverage
from deepunlearn.analysis.ranking import rankings
from deepunlearn.analysis.ranking_tables import over_cells
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import REFERENCES, current

HEADERS = {  # metric -> (column header with the direction that is better, format of a number)
    "RA": ("RA", ".3f"),
    "FA": ("FA", ".3f"),
    "TA": ("TA", ".3f"),
    "RR": ("RR (ideal 1)", ".3f"),
    "FR": ("FR (ideal 1)", ".3f"),
    "TR": ("TR (ideal 1)", ".3f"),
    "RetDev": ("RetDev ↓ (best 0)", ".3f"),
    "MIA": ("MIA (ideal 0.5)", ".3f"),
    "Indisc": ("Indisc ↑ (best 1)", ".3f"),
    "RTE": ("RTE ↑ (higher is faster)", ".2f"),
    "seconds": ("seconds ↓", ".2f"),
    "moved": ("moved", ".2g"),
}
IDEAL = {"RR": 1.0, "FR": 1.0, "TR": 1.0, "RetDev": 0.0, "MIA": 0.5, "Indisc": 1.0}
LEGEND = (
    "Mean ± standard deviation over the usable models. F: fewer usable models than report seeds. "
    "n/a: not measured on every usable model. Seconds of original and retrained are training times; "
    "moved: relative weight distance to the original. ¹ best and ² second best method that did not fail: closest to "
    "the retrained model (RA, FA, TA), to 1 (RR, FR, TR, Indisc), 0 (RetDev) or 0.5 (MIA), or fastest."
)


def build(frame: pd.DataFrame, cases: pd.DataFrame, compare: bool = False) -> list[Table]:
    """All tables: coverage first, then those over all cells, the scores of each result set, and the hyper-parameters.

    frame: what `rows.collect` returned; cases: what `coverage.outcomes` made of it. Every caption names missing rows.
    """
    remark = remark_on(frame, cases)
    ranked = rankings(frame, cases)
    return [
        _coverage_table(frame, cases, remark),
        *over_cells(ranked, frame, cases, remark),
        *(against_paper(ranked, remark) if compare else []),
        *_score_tables(frame, cases, remark),
        *_winners(frame, remark),
    ]


# ----------------------------------------------------------------------------------------------------------- the tables


def _coverage_table(frame: pd.DataFrame, cases: pd.DataFrame, remark: str) -> Table:
    data = coverage(cases)
    shown = data.drop(columns="cell").rename(columns=lambda name: str(name).replace("_", " ")).astype(str)
    caption = remark + "Rows expected of all runs and what came of them. " + caption_text(describe(current(frame)))
    return Table("coverage", "Coverage", caption, data, shown, {"why": 7})


def _score_tables(frame: pd.DataFrame, cases: pd.DataFrame, remark: str) -> list[Table]:
    table, rows = aggregate(frame, cases), result_set_rows(frame, cases)
    table["name"] = _names(table)
    parts = [part for _, part in table.groupby(["dataset", "arch", "cell", "result_set"])]
    assert len(parts) == table["name"].nunique(), "two result sets would write one file"
    return [_score_table(part, rows, remark) for part in parts]


def _score_table(part: pd.DataFrame, rows: pd.DataFrame, remark: str) -> Table:
    first = part.iloc[0]
    own = rows[(rows["cell"] == first["cell"]) & (rows["result_set"] == first["result_set"])]
    facts = describe(own)
    ids = f"result set {first['result_set'] or 'none'}; cell {first['cell']}"
    more = {name.replace(" ", "_"): value for name, value in facts.items() if name not in part}
    data = part.drop(columns="name").assign(**more)
    title = f"{_title(own, 'dataset', first)}, {_title(own, 'arch', first)}: unlearning scores"
    return Table(first["name"], title, f"{remark}{LEGEND} {caption_text(facts, ids)}", data, _shown(part), {"why": 4})


def _winners(frame: pd.DataFrame, remark: str) -> list[Table]:
    """The hyper-parameters that the models of each result set and method were made with."""
    rows = current(frame)
    methods = rows[~rows["method"].isin(REFERENCES)]
    if methods.empty:
        return []
    chosen = ["dataset", "arch", "result_set", "protocol", "search", "space", "selection", "trials"]
    columns = [*chosen, "method", "method_title", "method_version", "params"]
    data = methods[columns].drop_duplicates().sort_values(["dataset", "arch", "result_set", "method"])
    shown = (
        data.assign(params=data["params"].map(_params))
        .drop(columns="method_title")
        .rename(columns={"method_version": "version"})
    )
    shown = shown.astype("string").fillna("").rename(columns=lambda name: str(name).replace("_", " "))
    caption = f"{remark}Values that each method ran with. {caption_text(describe(methods))}"
    return [Table("hyper-parameters", "Hyper-parameters", caption, data, shown, {"params": 7})]


def _params(text: str) -> str:
    """The JSON of a row's `params` for people: floats to four digits (the CSV has them all)."""
    values = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in json.loads(text).items()}
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _shown(part: pd.DataFrame) -> pd.DataFrame:
    columns = {"method": part["method_title"], "usable": part["usable"], "status": part["status"]}
    for name, (header, digits) in HEADERS.items():
        pairs = zip(part[f"{name}_mean"], part[f"{name}_sd"], strict=True)
        columns[header] = pd.Series([_number(mean, sd, digits) for mean, sd in pairs], index=part.index) + _marks(
            part, name
        )
    return pd.DataFrame({**columns, "why": part["reason"]}).astype(str)


def _marks(part: pd.DataFrame, metric: str) -> pd.Series[str]:
    """¹ and ² for the best and the second best methods of a metric, equal ones alike; nothing elsewhere."""
    means = part[f"{metric}_mean"]
    retrained = means[part["method"] == "retrained"]
    if metric in IDEAL:
        distance = (means - IDEAL[metric]).abs()
    elif metric in ("RA", "FA", "TA") and len(retrained):
        distance = (means - retrained.iloc[0]).abs()
    elif metric in ("RTE", "seconds"):
        distance = -means if metric == "RTE" else means
    else:
        return pd.Series("", index=part.index)
    judged = ~part["method"].isin(REFERENCES) & (part["status"] == "")
    places = distance.where(judged).round(9).rank(method="dense")
    return places.map({1.0: " ¹", 2.0: " ²"}).fillna("")


def _number(mean: float, sd: float, digits: str) -> str:
    if math.isnan(mean):
        return "n/a"
    return f"{mean:{digits}}" if math.isnan(sd) else f"{mean:{digits}} ± {sd:{digits}}"


def _names(table: pd.DataFrame) -> pd.Series[str]:
    """File names: dataset-arch, followed by the result set's first digits where a dataset and arch have several."""
    stem = table["dataset"] + "-" + table["arch"]
    ids = table["result_set"].where(table["result_set"] != "", table["cell"])
    several = ids.groupby(stem).transform("nunique") > 1
    return stem.mask(several, stem + "-" + ids.str[:8])


def _title(rows: pd.DataFrame, name: str, first: pd.Series) -> str:
    return str(first[name]) if rows.empty else values_of(rows[f"{name}_title"])
