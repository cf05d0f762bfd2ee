"""The tables of an analysis: coverage, scores of each result set, hyper-parameters; captions state the conditions."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from deepunlearn.analysis import external
from deepunlearn.analysis.aggregate import UNDEFINED, aggregate, result_set_rows, with_names
from deepunlearn.analysis.agreement import agreement_tables
from deepunlearn.analysis.attack_noise import EXPLAINED, floor_line, floors
from deepunlearn.analysis.compare import against_paper
from deepunlearn.analysis.coverage import coverage, several_forget_sets
from deepunlearn.analysis.erasure import against_erasure
from deepunlearn.analysis.paper_layout import as_the_paper_prints
from deepunlearn.analysis.provenance import UNDERSTATED, UNDERSTATES, caption_text, describe, remark_on, values_of
from deepunlearn.analysis.rank import INSTEAD
from deepunlearn.analysis.rank import UNDEFINED as NOT_DEFINED
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.analysis.ranking_tables import over_cells, rte_parts
from deepunlearn.analysis.records import Records
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.round_tables import round_tables
from deepunlearn.analysis.rows import KIND, REFERENCES, current, with_values
from deepunlearn.analysis.search_spread import METHOD, spread
from deepunlearn.analysis.sets import RECIPE, told_apart
from deepunlearn.analysis.size_tables import size_tables
from deepunlearn.analysis.ulira_results import attack_tables
from deepunlearn.analysis.verdict_results import verdict_tables
from deepunlearn.core.measure_config import Column, OverSeeds
from deepunlearn.metrics.catalogue import Catalogue
from deepunlearn.metrics.row import NAMES

SPREAD = {  # column of `search_spread.spread` -> header
    "finished": "finished trials",
    "norm_by_seed": "best norm by search seed",
    "best_trials": "among the best trials",
}
IN_A_PAPER = ("RetDev", "Indisc", "RTE")
RATIOS = ("RR", "FR", "TR", "RetDev")  # to the retrained model's accuracies
NOT_COMPUTED = "-"  # of an added measure
EXTREMES = {"lower": "lowest", "higher": "highest"}


def legend(catalogue: Catalogue) -> str:
    """What the columns of scores have in common."""
    missing = f"{NOT_COMPUTED}: not computed, or not defined for any of the models. " if catalogue.added else ""
    return (
        "Mean ± standard deviation over the usable models. F: fewer usable models than report seeds. "
        f"n/a: not measured on every usable model. {missing}Unlearning was timed with no other worker of its sweep on "
        "the device, or on the machine if that is a CPU. Seconds of original and retrained are training times; moved: "
        "relative weight distance to the original. undefined: the retrained model gets nothing right, or does not know "
        "a class that was forgotten whole, so that no ratio to it exists. ¹ best and ² second best method that did not "
        "fail, by the models' mean distance: "
        f"{_best(catalogue.shown)}.{_left_out(catalogue)}"
    )


def _left_out(catalogue: Catalogue) -> str:
    """Names the stored measures that have no columns here, as others have these names."""
    named = [f"{one.name} ({', '.join(column.name for column in one.columns)})" for one in catalogue.left_out]
    return f" Left out, since a later measure has a column of the same name: {', '.join(named)}." if named else ""


def _best(columns: Sequence[Column]) -> str:
    """What makes a value the best, with the columns where it does: "closest to 1 (RR) or 0 (RetDev), or fastest"."""
    met: dict[str, list[str]] = {}
    words: dict[str, list[str]] = {}
    for column in columns:
        if column.better == "retrained" or column.best is not None:
            met.setdefault("the retrained model" if column.best is None else f"{column.best:g}", []).append(column.name)
        elif column.better != "neither":
            words.setdefault(column.word or EXTREMES[column.better], []).append("" if column.word else column.name)
    near = [f"{value} ({', '.join(names)})" for value, names in met.items()]
    far = [f"{word} ({', '.join(names)})" if any(names) else word for word, names in words.items()]
    met_by = f"{near[0]}, to {', '.join(near[1:-1])} or {near[-1]}"
    return f"closest to {met_by}, {', '.join([*far[:-1], f'or {far[-1]}'])}"


def build(records: Records, ranked: list[Ranking], compare: str = "none") -> list[Table]:
    """All tables: coverage first, then those over all cells, the scores of each result set, and the hyper-parameters.

    ranked: what `ranking.rankings` made of `records.counted`; compare: as in `inputs.COMPARED`. Every caption
    names missing rows.
    """
    remark = remark_on(records.rows, records.cases, records.round)
    if records.cases.empty:
        return _of_designs(records, remark)
    frame, cases = records.counted.rows, records.counted.cases
    return [
        _coverage_table(records.rows, records.cases, remark),
        *over_cells(ranked, frame, cases, remark),
        *size_tables(frame, cases, remark),
        *round_tables(records.rows, records.cases, remark),
        *as_the_paper_prints(ranked, list(rte_parts(frame, cases)), remark),
        *(against_paper(ranked, remark) if compare == "paper" else []),
        *(against_erasure(frame, cases, remark) if compare == "erasure" else []),
        *_score_tables(frame, cases, records.catalogue, remark),
        *_of_designs(records, remark),
        *_winners(frame, records.trials, remark),
    ]


def _of_designs(records: Records, remark: str) -> list[Table]:
    """What the models of U-LiRA's designs say."""
    return [
        *attack_tables(records.attacks, remark),
        *verdict_tables(records.verdicts, records.attacks, remark),
        *agreement_tables(records.attacks, records.verdicts, remark),
    ]


# ----------------------------------------------------------------------------------------------------------- the tables


def _coverage_table(frame: pd.DataFrame, cases: pd.DataFrame, remark: str) -> Table:
    data = coverage(cases)
    if several_forget_sets(cases):
        data.insert(2, "forget_set", data["cell"].map(dict(zip(cases["cell"], cases["forget"], strict=True))))
    shown = data.drop(columns="cell").rename(columns=lambda name: str(name).replace("_", " ")).astype(str)
    caption = remark + "Rows expected of all runs and what came of them. " + caption_text(describe(current(frame)))
    return Table("coverage", "Coverage", caption, data, shown, {"why": 7})


def _score_tables(frame: pd.DataFrame, cases: pd.DataFrame, catalogue: Catalogue, remark: str) -> list[Table]:
    table, rows = with_names(aggregate(frame, cases)), result_set_rows(frame, cases)
    result_sets = [lines for _, lines in table.groupby(["dataset", "arch", "cell", "result_set"])]
    assert len(result_sets) == table["name"].nunique(), "two result sets would write one file"
    apart = _apart(rows)
    return [_score_table(lines, rows, apart, catalogue, remark) for lines in result_sets]


def _apart(rows: pd.DataFrame) -> dict[str, str]:
    """Result set -> what tells it from others of its dataset, architecture and forget set, in words."""
    methods = rows[rows["result_set"] != ""]
    result_sets = [lines for _, lines in methods.groupby(["dataset", "arch", "forget_title"], dropna=False)]
    return {
        key: text for lines in result_sets for key, text in told_apart(lines, "result_set", [*KIND, *RECIPE]).items()
    }


def _score_table(
    lines: pd.DataFrame, rows: pd.DataFrame, apart: dict[str, str], catalogue: Catalogue, remark: str
) -> Table:
    first = lines.iloc[0]
    own = rows[(rows["cell"] == first["cell"]) & (rows["result_set"] == first["result_set"])]
    facts = describe(own)
    ids = f"result set {first['result_set'] or 'none'}; cell {first['cell']}"
    more = {name.replace(" ", "_"): value for name, value in facts.items() if name not in lines}
    catalogue = catalogue.of_values(with_values(own))
    shown = _shown(lines, own, catalogue)
    if len(own):
        shown = _with_line(shown, floor_line(own, catalogue), int(lines["method"].isin(REFERENCES).sum()))
    data = lines.drop(columns="name").assign(**more, **(floors(own) if len(own) else {}))
    places = [_title(own, "dataset", first), _title(own, "arch", first), *_forgotten(own, rows)]
    title = f"{', '.join(places)}: unlearning scores"
    if first["name"] != f"{first['dataset']}-{first['arch']}":  # others are of the same
        told = apart.get(first["result_set"], _named_by_id(first))
        title += f" ({told})" if told else ""
    caption = f"{remark}{legend(catalogue)} {EXPLAINED} {_what_counts(own)}{caption_text(facts, ids)}"
    return Table(first["name"], title, caption, data, shown, {"why": 4}, group=first["name"], paper=_for_a_paper(shown))


def _for_a_paper(shown: pd.DataFrame) -> pd.DataFrame:
    """What a paper shows of a table of scores: `IN_A_PAPER`, or what ranks in place of what is not defined.

    A method that failed says so beside its name.
    """
    failed = (shown["status"] != "") & (shown["method"] != "")
    titles = shown["method"] + (" (" + shown["status"] + ", " + shown["usable"] + ")").where(failed, "")
    columns = {str(header).split(" ")[0]: str(header) for header in shown}
    told = {name: set(shown.loc[shown["status"] == "", columns[name]]) - {""} for name in INSTEAD}
    bare = [name for name, values in told.items() if values == {NOT_DEFINED}]
    wanted = [INSTEAD[name] if name in bare else name for name in IN_A_PAPER]
    headers = {columns[name]: columns[name].partition(" (")[0] for name in wanted}
    scores = shown[list(headers)].rename(columns=headers)
    return pd.concat([titles.rename("Method"), scores], axis=1)


def _with_line(shown: pd.DataFrame, line: dict[str, str], position: int) -> pd.DataFrame:
    """`shown` with one more line after the first `position`; columns that it lacks are empty."""
    added = pd.DataFrame([{name: line.get(str(name), "") for name in shown}])
    return pd.concat([shown.iloc[:position], added, shown.iloc[position:]], ignore_index=True)


def _named_by_id(first: pd.Series) -> str:
    """Of a result set without any model, or references alone."""
    return f"result set {first['result_set'][:8]}" if first["result_set"] else f"cell {first['cell'][:8]}"


def _winners(frame: pd.DataFrame, trials: pd.DataFrame, remark: str) -> list[Table]:
    """The hyper-parameters that the models of each result set and method were made with, and how sure the search is."""
    rows = current(frame)
    methods = rows[~rows["method"].isin(REFERENCES)]
    if methods.empty:
        return []
    chosen = ["dataset", "arch", "result_set", "protocol", "search", "space", "selection", "trials"]
    columns = [*chosen, "method", "method_title", "method_version", "params"]
    data = methods[["cell", *columns]].drop_duplicates().sort_values(["dataset", "arch", "result_set", "method"])
    data = data.merge(spread(trials), how="left", on=METHOD).drop(columns="cell")
    told = ["dataset", "arch", "search", "method_title", "method_version", "params", *SPREAD]
    shown = data[told].assign(params=data["params"].map(_params))
    shown = shown.rename(columns={"method_title": "method", "method_version": "version", **SPREAD})
    if data["result_set"].nunique() > 1:
        shown.insert(0, "result set", data["result_set"].str[:8])
    widths = {"params": 5.5, SPREAD["best_trials"]: 6.5, SPREAD["finished"]: 2.5, SPREAD["norm_by_seed"]: 2.2}
    caption = (
        f"{remark}Values that each method ran with, and, of those that were searched, the smallest norm of the losses "
        "that each search seed found (0 is best), and the values' ranges among the best tenth of the completed trials, "
        f"at least 3. {_without_attack(trials)}{caption_text(describe(methods))}"
    )
    return [Table("hyper-parameters", "Hyper-parameters", caption, data, shown.astype("string").fillna(""), widths)]


def _without_attack(trials: pd.DataFrame) -> str:
    """Says of which searches the norm leaves the attack out, as too few samples are like the forgotten ones."""
    left_out = trials[(trials["state"] == "COMPLETE") & trials["mia"].isna()]
    if left_out.empty:
        return ""
    cells = len(left_out["cell"].unique())
    the_norm = "The norm" if cells == trials["cell"].nunique() else f"In {cells} of the cells the norm"
    return f"{the_norm} is of three losses, without the attack, for which too few samples match. "


def _params(text: Any) -> str:
    """The JSON of a row's `params` for people: floats to four digits (the CSV has them all)."""
    if pd.isna(text):
        return ""
    values = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in json.loads(text).items()}
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _shown(lines: pd.DataFrame, rows: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    columns = {"method": lines["method_title"], "usable": lines["usable"], "status": lines["status"]}
    blind = (lines["n_contradicted"] > 0).map({True: f" {UNDERSTATED}", False: ""})
    for column in catalogue.shown:
        remark = blind if column.name in UNDERSTATES else ""
        columns[column.header] = formatted(lines, column) + _marks(lines, rows, column) + remark
    return pd.DataFrame({**columns, "why": lines["reason"]}).astype(str)


def formatted(lines: pd.DataFrame, column: Column) -> pd.Series[str]:
    """Mean ± standard deviation of a measure's column for people; lines: of `aggregate`."""
    if column.over is not None:
        return _over_seeds(lines, column, column.over)
    pairs = zip(lines[f"{column.name}_mean"], lines[f"{column.name}_sd"], strict=True)
    missing = "n/a" if column.name in NAMES else NOT_COMPUTED
    shown = pd.Series([_number(*pair, column.digits, missing) for pair in pairs], index=lines.index, dtype="object")
    bare = (shown == missing) & lines["reason"].str.contains(UNDEFINED, regex=False)
    return shown.mask(bare, NOT_DEFINED) if column.name in RATIOS else shown


def _over_seeds(lines: pd.DataFrame, column: Column, over: OverSeeds) -> pd.Series[str]:
    """One value per method with its interval and what chance gives, or how many seeds it takes."""
    names = [f"{name}_mean" for name in (column.name, over.low, over.high, over.chance, over.models)]
    shown = [
        _with_interval(value, low, high, chance, column.digits) if not math.isnan(value)
        else NOT_COMPUTED if math.isnan(models) else f"needs {over.fewest} seeds"
        for value, low, high, chance, models in lines[names].to_numpy(dtype=float).tolist()
    ]  # fmt: skip
    return pd.Series(shown, index=lines.index, dtype="object")


def _with_interval(value: float, low: float, high: float, chance: float, digits: str) -> str:
    return f"{value:{digits}} [{low:{digits}}, {high:{digits}}] (chance {chance:{digits}})"


def _marks(lines: pd.DataFrame, rows: pd.DataFrame, column: Column) -> pd.Series[str]:
    """¹ and ² for the best and the second best methods of a column, equal ones alike; nothing elsewhere."""
    if column.better == "neither":
        return pd.Series("", index=lines.index)
    known = lines[f"{column.name}_mean"].notna() & ~lines["method"].isin(REFERENCES) & (lines["status"] == "")
    distance = lines["method"].map(_distances(rows[rows["usable"]], column))
    ranks: pd.Series[float] = distance.where(known).round(9).rank(method="dense")
    return ranks.map({1.0: " ¹", 2.0: " ²"}).fillna("")


def _distances(rows: pd.DataFrame, column: Column) -> pd.Series[float]:
    """By method, the mean over seeds of how far each model is from the best value: errors of both signs do not cancel.

    Methods that were run elsewhere are not held against our retrained model: theirs is another.
    """
    values = rows[column.name].astype(float)
    if column.better == "retrained":
        retrained = rows[rows["method"] == "retrained"].drop_duplicates("seed").set_index("seed")[column.name]
        target = rows["seed"].map(retrained).astype(float)
        far = (values - target).abs().mask(rows["method_title"].str.endswith(external.MARK))
    elif column.best is not None:
        far = column.distance(values)
    else:
        far = -values if column.better == "higher" else values
    return far.groupby(rows["method"]).mean()


def _number(mean: float, sd: float, digits: str, missing: str) -> str:
    if math.isnan(mean):
        return missing
    return f"{mean:{digits}}" if math.isnan(sd) else f"{mean:{digits}} ± {sd:{digits}}"


def _what_counts(rows: pd.DataFrame) -> str:
    """What a class that was forgotten whole and unseen samples that are like the forgotten ones mean for the scores."""
    told = ""
    if rows["given_original"].notna().any() and not (rows["method"] == "retrained").any():
        told += (
            "There is no retrained model, as it is not known how the given originals were trained: what is held "
            "against it has no value and ranks nothing; read accuracies and attacks beside the original's. "
        )
    if rows["TA_retained"].notna().any():
        told += (
            "A class was forgotten whole: TR, gap, ToW and usable take TA_retained, the accuracy on the test samples "
            "of other classes, and the search the same of the validation set. "
        )
    if rows["n_unseen_test"].notna().any():
        looked_at, all_ = values_of(rows["n_unseen_test"]), values_of(rows["n_test"])
        told += f"The attack compares the forgotten samples with the {looked_at} of {all_} test samples like them. "
    return told


def _forgotten(own: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """The title of the forget set of `own`, where it is not the usual, random one or `rows` has several."""
    beside = rows[rows["dataset"].isin(own["dataset"]) & rows["arch"].isin(own["arch"])]
    several = beside["forget_title"].nunique() > 1
    return sorted(set(own.loc[(own["forget_kind"] != "random") | several, "forget_title"]))


def _title(rows: pd.DataFrame, name: str, first: pd.Series) -> str:
    return str(first[name]) if rows.empty else values_of(rows[f"{name}_title"])
