"""What every caption states: the conditions under which rows came about, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pandas as pd
import yaml

from deepunlearn.analysis import external
from deepunlearn.analysis.attack_noise import contradicted
from deepunlearn.analysis.coverage import holes, name_holes
from deepunlearn.analysis.rows import current, scored_by
from deepunlearn.core.paths import shipped

UNDERSTATES = ("MIA", "Indisc")  # columns that may show a model as better than it is
UNDERSTATED = "†"  # beside an MIA and Indisc that the order of the losses contradicts

GIVEN = "originals given, not trained here"  # a fact where there are such
FACTS = {  # what every caption states -> column of the rows
    "dataset": "dataset_title",
    "arch": "arch_title",
    "protocol": "protocol",
    "search": "search",
    "space": "space",
    "selection": "selection",
    "trials": "trials",
    "seeds": "seed",
    "epochs": "train_epochs",
    "batch size": "train_batch_size",
    "learning rate": "train_lr",
    "limit": "limit",
    "forget set": "forget_title",
    "forget ratio": "forget_ratio",
    "precision": "precision",
    "machine": "machine",
    "device": "device",
    "threads": "threads",
    "torch": "torch",
    "commit": "commit",
}


def describe(rows: pd.DataFrame) -> dict[str, str]:
    """What `rows` have in common, or the values they have: `FACTS` and the dates, "none" where there is no value."""
    rows = rows[rows["machine"] != external.ELSEWHERE]  # these have conditions of their own: `external.remark`
    rows = rows.assign(limit=rows["limit"].astype("string").fillna("none"))
    facts = {name: values_of(rows[column]) for name, column in FACTS.items()}
    if rows["forget_remarks"].notna().any():
        facts["the attack's unseen samples"] = values_of(rows["forget_remarks"])
    if rows["given_original"].notna().any():
        facts[GIVEN] = values_of(rows["given_original"])
    if validated := _validated(rows):
        facts["given validation images"] = f"{', '.join(validated)} (a search takes these images as never seen)"
    facts["seeds"] = _ranges(sorted(set(rows["seed"].tolist())))
    dates = rows["date"].str[:10]
    facts["dates"] = "none" if dates.empty else " to ".join(dict.fromkeys([dates.min(), dates.max()]))
    return facts


def _validated(rows: pd.DataFrame) -> list[str]:
    """Titles of the methods that were given the validation set, whose samples the search's attack calls non-members."""
    titles = rows.drop_duplicates("method").set_index("method")["method_title"]
    return sorted(str(title) for name, title in titles.items() if _readers() & set(str(name).split("-")))


@cache
def _readers() -> frozenset[str]:
    """Methods of ours whose YAML says that they read the validation set; a chain is named after its steps."""
    files = (shipped("conf") / "method").glob("*.yaml")
    return frozenset(file.stem for file in files if "val" in yaml.safe_load(file.read_text("utf-8")).get("reads", ()))


def remark_on(frame: pd.DataFrame, cases: pd.DataFrame, round: int | None = None) -> str:
    """What a reader must know first: holes, rows that later ones replaced, and scores that are not what they seem.

    round: of requests one after the other, where another than the last one was asked for.
    """
    missing, superseded = len(holes(cases)), len(frame) - len(current(frame))
    remarks = []
    if missing:
        remarks.append(f"PARTIAL: {missing} of {len(cases)} expected rows are missing ({name_holes(cases)}). ")
    if superseded:
        remarks.append(f"Rows replaced by later ones and left out: {superseded}. ")
    if round is not None:
        remarks.append(
            f"Of requests one after the other round {round} counts, as was asked for, and sequences without it are "
            "left out; tables and figures over the rounds have them all. "
        )
    rows = current(frame)
    return "".join([*remarks, _versions(rows), _contradicted(rows)]) + external.remark(frame)


def _versions(rows: pd.DataFrame) -> str:
    """Says which methods were scored by which version, where there are several."""
    own = rows[rows["machine"] != external.ELSEWHERE]
    titles = own["method_title"].groupby(scored_by(own)).agg(lambda titles: ", ".join(sorted(set(titles))))
    if len(titles) < 2:
        return ""
    told = "; ".join(f"{version}: {names}" for version, names in titles.items())
    return (
        f"Scored by different versions of this program ({told}), so that MIA and Indisc differ by how samples were "
        "drawn; the sweep's command scores the older ones anew from what is stored. "
    )


def _contradicted(rows: pd.DataFrame) -> str:
    """Names the methods whose attack says other than the order of the losses."""
    rows = rows[rows["usable"]]
    counts = contradicted(rows).groupby(rows["method_title"]).agg(["sum", "size"])
    named = [f"{title}: {some} of {all_} models" for title, some, all_ in counts.itertuples() if some]
    return (
        f"WARNING: {UNDERSTATED} Indisc and Disc_AUC disagree ({'; '.join(named)}) by more than chance gives samples "
        "without a difference. The logistic regression of Indisc sees nothing where losses are small; read Disc_AUC. "
        if named
        else ""
    )


def caption_text(facts: Mapping[str, str], ids: str = "") -> str:
    return "; ".join([f"{name}: {value}" for name, value in facts.items()] + ([ids] if ids else [])) + "."


def values_of(column: pd.Series) -> str:
    """The distinct values in order, "none" where there is none."""
    values = sorted(column.dropna().unique())
    return ", ".join(f"{value:g}" if column.dtype == "float64" else str(value) for value in values) or "none"


def _ranges(numbers: list[int]) -> str:
    """Sorted whole numbers in words, e.g. "0-4, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "none"
