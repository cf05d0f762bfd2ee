"""What result sets are called: dataset, architecture, forget set and search, then only what tells them apart."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from deepunlearn.analysis.provenance import values_of
from deepunlearn.analysis.sets import WORDS

SEARCHES = {"default": "default values", "file": "given values"}  # hyper-parameters that no search found
MORE = {  # what titles say beside these only where it tells sets apart; column -> how a value of it is said
    "protocol": "{} protocol",
    "space": "{} ranges",
    "selection": "{} selection",
    **{name: WORDS[name] for name in ("trials", "limit", "given_original")},
    **{name: WORDS[name] for name in ("train_epochs", "train_batch_size", "train_lr", "n_forget", "precision")},
}


class Labels(NamedTuple):
    """What filters offer of a result set, in words."""

    dataset: str
    arch: str
    forget: str
    search: str


def labels_of(rows: pd.DataFrame) -> Labels:
    """rows: of the methods of one result set, at least one."""
    first = rows.iloc[0]
    search = str(first["search"])
    return Labels(
        values_of(rows["dataset_title"]),
        values_of(rows["arch_title"]),
        values_of(rows["forget_title"]),
        SEARCHES.get(search, f"{search} search"),
    )


def titles_of(rows: pd.DataFrame) -> dict[str, str]:
    """Set -> title, no two alike and none with an id. rows: of methods, with the column `name` of their set."""
    sets = {str(name): own for name, own in rows.groupby("name", sort=False)}
    short = {name: ", ".join(labels_of(own)) for name, own in sets.items()}
    titles: dict[str, str] = {}
    for title in dict.fromkeys(short.values()):
        alike = {name: sets[name] for name, one in short.items() if one == title}
        titles |= {name: title + more for name, more in _more(alike).items()}
    return titles


def _more(alike: dict[str, pd.DataFrame]) -> dict[str, str]:
    """What tells sets of one title apart, numbers where nothing does; "" of one alone."""
    if len(alike) == 1:
        return dict.fromkeys(alike, "")
    values = {name: {column: values_of(own[column]) for column in MORE} for name, own in alike.items()}
    differing = [column for column in MORE if len({one[column] for one in values.values()}) > 1]
    told = {name: _words(one, differing) for name, one in values.items()}
    counts = [*told.values()]
    numbers = {name: counts[:position].count(told[name]) + 1 for position, name in enumerate(told)}
    return {
        name: f"{words} ({numbers[name]} of {counts.count(words)})" if counts.count(words) > 1 else words
        for name, words in told.items()
    }


def _words(values: dict[str, str], differing: list[str]) -> str:
    """ ", 5 trials, no limit": what is "none" is not said, but for the limit."""
    told = ["no limit" if values[one] == "none" else MORE[one].format(values[one]) for one in differing
            if values[one] != "none" or one == "limit"]  # fmt: skip
    return "".join(f", {word}" for word in told)
