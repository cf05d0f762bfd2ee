"""A view for each method: what it is, its scores in each result set, its hyper-parameters, and what failed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from deepunlearn.analysis import ulira_results, verdict_results
from deepunlearn.analysis.figures.style import in_order
from deepunlearn.analysis.page.panels import Model, Panel, panels_of
from deepunlearn.analysis.page.result_sets import ResultSet
from deepunlearn.analysis.page.sheets import Printer, Sheet
from deepunlearn.analysis.records import Records
from deepunlearn.analysis.rows import REFERENCES, current
from deepunlearn.analysis.tables import formatted
from deepunlearn.metrics.catalogue import Catalogue

PERSON_READABLE = 20_000  # characters of a traceback that the page keeps
FOREIGN = "not one of the methods of this program"


@dataclass(frozen=True)
class About:
    """What is said of a method beside its results. full_name: its title spelled out, "" where that is no other."""

    full_name: str
    source: str


@dataclass(frozen=True)
class Failure:
    head: str
    kind: str
    error: str
    traceback: str
    date: str


@dataclass(frozen=True)
class Method:
    """unusable: models that ran and cannot be used, in words."""

    name: str
    title: str
    full: str
    about: str
    sheets: list[Sheet]
    unusable: list[str]
    failures: list[Failure]
    panels: list[Panel]


def titles_of_all(records: Records) -> dict[str, str]:
    """method -> title of all that were asked for, in the order of figures; references are none."""
    rows = pd.concat([records.attacks[["method", "method_title"]], records.rows[["method", "method_title"]]])
    known = dict(zip(rows["method"].tolist(), rows["method_title"].tolist(), strict=True))
    names = (set(known) | set(records.cases["method"])) - set(REFERENCES)
    return {name: str(known.get(name, name)) for name in in_order(map(str, names))}


def methods(
    records: Records,
    sets: Sequence[ResultSet],
    about: Mapping[str, About],
    printer: Printer,
    models: Sequence[Model] = (),
) -> list[Method]:
    """Their views. models: whose images and losses are shown."""
    rows, attacks = current(records.rows), ulira_results.current(records.attacks)
    verdicts = verdict_results.current(records.verdicts)
    shown = {one.name: _scores(one, records.catalogue) for one in sets}
    return [
        Method(
            name=name,
            title=title,
            full=about[name].full_name if name in about else "",
            about=about[name].source if name in about else FOREIGN,
            sheets=_sheets(
                name, sets, shown, (attacks[attacks["method"] == name], verdicts[verdicts["method"] == name]), printer
            ),
            unusable=_unusable(rows[rows["method"] == name]),
            failures=_failures(records.failures[records.failures["method"] == name]),
            panels=list(panels_of(name, title, models, sets, printer.gallery)),
        )
        for name, title in titles_of_all(records).items()
    ]


def _sheets(
    name: str,
    sets: Sequence[ResultSet],
    shown: Mapping[str, pd.DataFrame],
    of_designs: tuple[pd.DataFrame, pd.DataFrame],
    printer: Printer,
) -> list[Sheet]:
    """Scores and hyper-parameters in each result set, and the per-sample attacks; what there is of them.

    shown: of each set, by method; of_designs: attacks and verdicts.
    """
    attacks, verdicts = of_designs
    own = {one.title: one for one in sets if name in set(one.lines["method"])}
    sheets = []
    if own:
        scores = pd.concat([shown[one.name].loc[[name]] for one in own.values()])
        caption = "Mean ± standard deviation over usable models."
        sheets.append(printer.of(scores, f"metrics-{name}", "Scores in each result set", caption))
    used = [line for title, one in own.items() for line in _values(title, one, name)]
    if used:
        values = pd.DataFrame(used).fillna("")
        sheets.append(printer.of(values, f"values-{name}", "Hyper-parameters used", "Values of the models above."))
    if len(attacks):
        attack = ulira_results.formatted(attacks)
        sheets.append(printer.of(attack, f"attacks-{name}", "Per-sample attack (U-LiRA)", ulira_results.LEGEND))
    if len(verdicts):
        told = verdict_results.formatted(verdicts)
        sheets.append(printer.of(told, f"verdicts-{name}", "Verdicts of the same models", verdict_results.LEGEND))
    return sheets


def _scores(one: ResultSet, catalogue: Catalogue) -> pd.DataFrame:
    """What tables show of the methods of a set, by method."""
    lines = one.lines
    columns: dict[str, object] = {"usable": lines["usable"], "status": lines["status"]}
    columns |= {column.header: formatted(lines, column) for column in catalogue.shown}
    shown = pd.DataFrame({"result set": one.title, **columns, "why": lines["reason"]}).astype(str)
    return shown.set_axis(lines["method"], axis="index")


def _values(title: str, one: ResultSet, name: str) -> list[dict[str, str]]:
    """A line for each set of values; seeds share theirs."""
    texts = one.rows.loc[(one.rows["method"] == name) & one.rows["params"].notna(), "params"]
    return [
        {"result set": title, **{key: _shown(value) for key, value in json.loads(text).items()}}
        for text in dict.fromkeys(texts)
    ]


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _unusable(rows: pd.DataFrame) -> list[str]:
    bad = rows[~rows["usable"]]
    facts = zip(bad["dataset_title"], bad["arch_title"], bad["seed"], bad["reason"], strict=True)
    return [f"{dataset}, {arch}, seed {seed}: {reason}" for dataset, arch, seed, reason in facts]


def _failures(notes: pd.DataFrame) -> list[Failure]:
    return [
        Failure(
            head=f"{note['dataset']} {note['arch']}, {note['stage']}"
            + ("" if note["seed"] is pd.NA else f", seed {note['seed']}"),
            kind=str(note["kind"]).replace("_", " "),
            error=f"{note['error']}: {note['message']}",
            traceback=str(note["traceback"])[-PERSON_READABLE:],
            date=str(note["date"]),
        )
        for note in notes.sort_values("date").to_dict("records")
    ]
