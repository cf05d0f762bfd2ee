"""The result sets that were asked for, what tells them apart in words, and which may be put together."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from deepunlearn.analysis.provenance import values_of
from deepunlearn.analysis.rows import KIND

RECIPE = [
    *("given_original", "train_epochs", "train_batch_size", "train_lr", "limit"),
    *("forget_title", "forget_ratio", "n_forget", "precision"),
]
FOLLOW = ("forget_ratio", "n_forget")  # not said beside titles that differ
WORDS = {  # column -> how a value of it is said
    "search": "search {}",
    "protocol": "protocol {}",
    "space": "space {}",
    "selection": "selection {}",
    "trials": "{} trials",
    "given_original": "original {}",
    "train_epochs": "{} epochs",
    "train_batch_size": "batch size {}",
    "train_lr": "learning rate {}",
    "limit": "limit {}",
    "forget_title": "{}",
    "forget_ratio": "forget ratio {}",
    "n_forget": "{} samples to forget",
    "precision": "{}",
}


def told_apart(rows: pd.DataFrame, by: str, columns: Sequence[str]) -> dict[str, str]:
    """What tells the groups of `rows` by column `by` apart, in words: "protocol heldout, 40 trials"; "" for one alone.

    columns: among `WORDS`. Groups that none of them tells apart, or of the same values, are called by the first digits
    of their id. References have no protocol or search and are passed over there.
    """
    groups = rows.groupby(by)
    if groups.ngroups < 2:
        return dict.fromkeys(map(str, groups.groups), "")
    said = pd.DataFrame({name: groups[name].agg(values_of) for name in columns})
    differing = [name for name in columns if said[name].nunique() > 1]
    if "forget_title" in differing:
        differing = [name for name in differing if name not in FOLLOW]
    words = {str(key): _words(line, differing) for key, line in said.iterrows()}
    alike = [text for text in words.values() if list(words.values()).count(text) > 1]
    return {key: _with_id(text, by, key) if text in alike else text for key, text in words.items()}


def _words(values: pd.Series, differing: list[str]) -> str:
    """What is "none" is not said, but for the limit."""
    told = [name for name in differing if values[name] != "none" or name == "limit"]
    return ", ".join("no limit" if values[name] == "none" else WORDS[name].format(values[name]) for name in told)


def _with_id(text: str, by: str, key: str) -> str:
    return ", ".join([*([text] if text else []), f"{by.replace('_', ' ')} {key[:8]}"])


def kinds(rows: pd.DataFrame) -> pd.Series[int]:
    """The number of each row's way of choosing hyper-parameters (`KIND`), from 0."""
    return rows.groupby(KIND, dropna=False).ngroup()


def kind_names(rows: pd.DataFrame) -> dict[int, str]:
    """Way of choosing -> what tells it from the others, e.g. " (search quick, 20 trials)"; "" for one alone."""
    numbered = rows.assign(kind=kinds(rows).astype(str))
    said = told_apart(numbered, "kind", KIND)
    return {int(key): f" ({text})" if text else "" for key, text in said.items()}


def asked_for(rows: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """A line per result set that a run asked for: cell, result_set, dataset, arch, kind and column.

    rows: those that count of methods; cases: as `coverage.outcomes`. kind: as `kinds`; where no model is there, that of
    the other result sets of the same run, -1 where these are none or several. column: the cell's name for people.
    """
    asked = cases[cases["result_set"] != ""]
    sets = asked[["cell", "result_set", "dataset", "arch"]].drop_duplicates()
    known = rows.assign(kind=kinds(rows))[["cell", "result_set", "kind"]].drop_duplicates()
    sets = sets.merge(known, how="left", on=["cell", "result_set"])
    runs = asked[["result_set", "run"]].drop_duplicates().merge(known, on="result_set")
    by_run = (
        runs[runs["run"] != ""].groupby("run")["kind"].agg(lambda kinds: kinds.iloc[0] if kinds.nunique() == 1 else -1)
    )
    of_set = asked.groupby("result_set")["run"].max().map(by_run)
    sets["kind"] = sets["kind"].fillna(sets["result_set"].map(of_set)).fillna(-1).astype("int64")
    return sets.assign(column=_columns(sets, rows)).reset_index(drop=True)


def _columns(sets: pd.DataFrame, rows: pd.DataFrame) -> pd.Series[str]:
    """Dataset, architecture and, of several, the forget set, and what tells cells apart that share these."""
    names = _titled(sets, rows, "dataset") + " " + _titled(sets, rows, "arch")
    if rows["forget_title"].nunique() > 1:
        names += sets["cell"].map(forgotten_by(rows)).map(" {}".format, na_action="ignore").fillna("")
    several = sets.groupby(names)["cell"].transform("nunique") > 1
    for name in names[several].unique():
        cells = sets.loc[names == name, "cell"]
        said = told_apart(rows[rows["cell"].isin(cells)], "cell", RECIPE)
        texts = cells.map(said).fillna("cell " + cells.str[:8])
        names = names.mask(names.index.isin(cells.index), name + " (" + texts.reindex(names.index) + ")")
    return names


def forgotten_by(rows: pd.DataFrame) -> dict[str, str]:
    """Cell -> title of its forget set, of cells with rows."""
    return dict(zip(rows["cell"].tolist(), rows["forget_title"].tolist(), strict=True))


def _titled(sets: pd.DataFrame, rows: pd.DataFrame, name: str) -> pd.Series[str]:
    titles = dict(zip(rows[name].tolist(), rows[f"{name}_title"].tolist(), strict=True))
    return sets[name].map(titles).fillna(sets[name])
