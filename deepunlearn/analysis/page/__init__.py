"""The report: one HTML page that needs nothing else, with every table and figure, and a view for each method."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import pandas as pd

from deepunlearn.analysis import ulira_results
from deepunlearn.analysis.aggregate import aggregate, with_names
from deepunlearn.analysis.figures.style import INK, Picture, in_order, looks
from deepunlearn.analysis.glossary import explain, terms
from deepunlearn.analysis.provenance import describe
from deepunlearn.analysis.records import Records
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import REFERENCES, current
from deepunlearn.analysis.tables import formatted
from deepunlearn.core.measure_config import Term
from deepunlearn.metrics.catalogue import Catalogue

FOLDER = Path(__file__).parent
OVERVIEW, COVERAGE, SEARCHES = r"(ranking|findings)(-\d+)?|rte-.*", "coverage", "hyper-parameters"  # names of tables
METHOD_COLUMNS = ("method", "better", "worse")  # columns that hold titles of methods
LONG = 40  # characters of a cell on one line
PERSON_READABLE = 20_000  # characters of a traceback that the page keeps


def build(
    records: Records, tables: Sequence[Table], pictures: Sequence[Picture], about: Mapping[str, str], made: str
) -> str:
    """The page's HTML.

    tables: as `tables.build`; pictures: as `figures.draw`; about: method -> a sentence on it; made: when and by what
    commit the page was made.
    """
    titles = _titles(records)
    lines = with_names(aggregate(records.rows, records.cases)) if len(records.cases) else None
    known = terms(records.catalogue)
    sheets = {table.name: _sheet(table, titles, known) for table in tables}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        css=(FOLDER / "page.css").read_text(encoding="utf-8"),
        js=(FOLDER / "page.js").read_text(encoding="utf-8"),
        made=made,
        facts=describe(current(records.rows)) if len(records.rows) else ulira_results.facts(records.attacks),
        coverage=_coverage(records.cases),
        scored=lines is not None,
        views=_views(tables, pictures, sheets),
        methods=[_method(name, title, records, lines, about) for name, title in titles.items()],
        terms=known,
    )


# -------------------------------------------------------------------------------------------------------------- views


def _views(tables: Sequence[Table], pictures: Sequence[Picture], sheets: Mapping[str, str]) -> list[dict[str, object]]:
    """The page's views in order: id, title, tables (HTML), pictures. A result set's go together."""

    def named(pattern: str) -> list[Table]:
        return [table for table in tables if not table.group and re.fullmatch(pattern, table.name)]

    views = [
        ("overview", "Overview", named(OVERVIEW), [picture for picture in pictures if not picture.group]),
        *(
            (table.name, table.title, [table], [picture for picture in pictures if picture.group == table.name])
            for table in tables
            if table.group
        ),
        ("details", "Over all cells", named(f"(?!({OVERVIEW}|{COVERAGE}|{SEARCHES})$).*"), []),
        ("searches", "Hyper-parameters", named(SEARCHES), []),
        ("coverage", "Coverage", named(COVERAGE), []),
    ]
    return [
        {
            "id": name,
            "title": title,
            "sheets": [sheets[table.name] for table in own],
            "pictures": list(map(_inline, drawn)),
        }
        for name, title, own, drawn in views
        if own or drawn or name == "overview"
    ]


def _coverage(cases: pd.DataFrame) -> str:
    """In words: how many models were asked for and what came of them."""
    if cases.empty:
        return "No models were scored one by one"
    counts = cases["outcome"].value_counts()
    outcomes = ", ".join(f"{count} {str(outcome).replace('_', ' ')}" for outcome, count in counts.items())
    return f"{len(cases)} models asked for: {outcomes}; {int(cases['usable'].sum())} usable"


def _inline(picture: Picture) -> dict[str, str]:
    """The SVG element itself, in the page's text colour."""
    svg = picture.svg[picture.svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    prefix = f"{picture.name}-"  # ids must not meet those of other figures
    svg = re.sub(r'(\bid="|url\(#|href="#)', lambda match: match.group(1) + prefix, svg)
    return {"name": picture.name, "title": picture.title, "svg": svg}


def _sheet(table: Table, titles: Mapping[str, str], known: tuple[Term, ...]) -> str:
    """A table as HTML: headers explained, methods linked to their views."""
    links = {title: f'<a href="#method-{html.escape(name)}">{html.escape(title)}</a>' for name, title in titles.items()}
    shown = table.shown.copy()
    for column in shown:
        plain = shown[column].map(_cell)
        shown[column] = shown[column].map(links).fillna(plain) if column in METHOD_COLUMNS else plain
    return _to_html(shown, table.name, table.title, table.caption, known)


def _cell(text: str) -> str:
    """A cell's text as HTML; long ones wrap."""
    plain = html.escape(text)
    return f'<span class="long">{plain}</span>' if len(text) > LONG else plain


def _to_html(shown: pd.DataFrame, name: str, title: str, caption: str, known: tuple[Term, ...]) -> str:
    """shown: cells are HTML; known: what explains the headers."""
    style = shown.rename(columns=lambda header: _header(header, known)).reset_index(drop=True).style.hide(axis="index")
    body = style.to_html(table_uuid=html.escape(name), table_attributes='class="sortable"')
    body = re.sub(r"<style.*?</style>\s*", "", re.sub(r"(<t[dh])\b[^>]*>", r"\1>", body), flags=re.DOTALL)
    return (
        f'<section class="sheet"><h3>{html.escape(title)}</h3><div class="wide">{body}</div>'
        f"<details><summary>what this table shows</summary><p>{html.escape(caption)}</p></details></section>"
    )


def _header(name: str, known: tuple[Term, ...]) -> str:
    tip = explain(name, known)
    return f'<abbr title="{html.escape(tip)}">{html.escape(name)}</abbr>' if tip else html.escape(name)


# ------------------------------------------------------------------------------------------------------------ methods


def _titles(records: Records) -> dict[str, str]:
    """method -> title of all that were asked for, in the order of figures; references are none."""
    rows = pd.concat([records.attacks[["method", "method_title"]], records.rows[["method", "method_title"]]])
    known = dict(zip(rows["method"].tolist(), rows["method_title"].tolist(), strict=True))
    names = (set(known) | set(records.cases["method"])) - set(REFERENCES)
    return {name: str(known.get(name, name)) for name in in_order(map(str, names))}


def _method(
    name: str, title: str, records: Records, lines: pd.DataFrame | None, about: Mapping[str, str]
) -> dict[str, object]:
    """A method's view; lines: as `aggregate.with_names`, None where no method was scored."""
    rows, measured = current(records.rows), records.catalogue
    rows, known = rows[rows["method"] == name], terms(measured)
    sheets = []
    if lines is not None and len(own := lines[lines["method"] == name]):
        sheets += [
            _to_html(
                _metrics(own, measured),
                f"metrics-{name}",
                "Scores in each cell",
                "Mean ± sd over usable models.",
                known,
            ),
            _to_html(_winners(rows), f"winners-{name}", "Hyper-parameters used", "Values of the models above.", known),
        ]
    attacked = ulira_results.current(records.attacks)
    if len(attacked := attacked[attacked["method"] == name]):
        shown = ulira_results.formatted(attacked).map(_cell)
        sheets += [_to_html(shown, f"attacks-{name}", "Per-sample attack (U-LiRA)", ulira_results.LEGEND, known)]
    return {
        "name": name,
        "title": title,
        "about": about.get(name, "not one of the methods of this program"),
        "colour": looks([name])[name].colour,
        "sheets": sheets,
        "unusable": _unusable(rows),
        "failures": _failures(records.failures[records.failures["method"] == name]),
    }


def _metrics(own: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """Shown scores of one method, a line per result set, linked to its view."""
    links = [f'<a href="#{html.escape(name)}">{html.escape(name)}</a>' for name in own["name"]]
    columns = {"result set": pd.Series(links, index=own.index), "usable": own["usable"], "status": own["status"]}
    columns |= {column.header: formatted(own, column) for column in catalogue.shown}
    return pd.DataFrame({**columns, "why": own["reason"].map(_cell)}).astype(str)


def _winners(rows: pd.DataFrame) -> pd.DataFrame:
    used = rows[rows["params"].notna()].drop_duplicates(["result_set", "params"])
    values = pd.DataFrame([json.loads(text) for text in used["params"]], index=used.index)
    head = used[["dataset_title", "arch_title", "search"]].set_axis(["dataset", "architecture", "search"], axis=1)
    return head.join(values).map(lambda value: html.escape(f"{value:.4g}" if isinstance(value, float) else str(value)))


def _unusable(rows: pd.DataFrame) -> list[str]:
    bad = rows[~rows["usable"]]
    facts = zip(bad["dataset_title"], bad["arch_title"], bad["seed"], bad["reason"], strict=True)
    return [f"{dataset}, {arch}, seed {seed}: {reason}" for dataset, arch, seed, reason in facts]


def _failures(notes: pd.DataFrame) -> list[dict[str, str]]:
    lines = notes.sort_values("date").to_dict("records")
    return [
        {
            "head": f"{note['dataset']} {note['arch']}, {note['stage']}"
            + ("" if note["seed"] is pd.NA else f", seed {note['seed']}"),
            "kind": str(note["kind"]).replace("_", " "),
            "error": f"{note['error']}: {note['message']}",
            "traceback": str(note["traceback"])[-PERSON_READABLE:],
            "date": str(note["date"]),
        }
        for note in lines
    ]
