"""The report: one HTML page that needs nothing else. It opens with the answer: a summary of each result set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from deepunlearn.analysis import ulira_results
from deepunlearn.analysis.figures.style import Picture
from deepunlearn.analysis.glossary import terms
from deepunlearn.analysis.page.methods import About, methods, titles_of_all
from deepunlearn.analysis.page.names import Labels
from deepunlearn.analysis.page.panels import Model
from deepunlearn.analysis.page.result_sets import ResultSet, result_sets
from deepunlearn.analysis.page.sheets import Printer
from deepunlearn.analysis.page.summary import summary
from deepunlearn.analysis.page.tradeoff import trade_off
from deepunlearn.analysis.page.views import per_seed, views
from deepunlearn.analysis.provenance import GIVEN, describe, remark_on
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.analysis.records import Records
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import REFERENCES

FOLDER = Path(__file__).parent
FILTERS = {"dataset": "Dataset", "arch": "Architecture", "forget": "Forget set", "search": "Search"}


def build(
    records: Records,
    ranked: Sequence[Ranking],
    tables: Sequence[Table],
    pictures: Sequence[Picture],
    *,
    about: Mapping[str, About],
    made: str,
    shown: Sequence[Model] = (),
) -> str:
    """The page's HTML.

    ranked: what `ranking.rankings` made of `records.counted`; tables: as `tables.build`; pictures: as `figures.draw`;
    about: of each method of this program; made: when and by what commit the page was made; shown: models whose images
    and losses the methods' views show.
    """
    sets, known, titles = result_sets(records.counted), terms(records.catalogue), titles_of_all(records)
    links = {title: f"method-{name}" for name, title in titles.items()} | {one.title: one.name for one in sets}
    printer = Printer(links, known, records.catalogue)
    behind = views(sets, ranked, tables, pictures, printer)
    of_methods = methods(records, sets, about, printer, shown)
    full_names = {name: one.full_name for name, one in about.items()}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        css=(FOLDER / "page.css").read_text(encoding="utf-8"),
        js=(FOLDER / "page.js").read_text(encoding="utf-8"),
        made=made,
        coverage=_coverage(records.cases),
        remark=remark_on(records.rows, records.cases, records.round),
        attacked=ulira_results.facts(records.attacks) if len(records.attacks) and not sets else {},
        filters=_filters(sets, titles),
        sets=[_shown(one, records, full_names) for one in sets],
        views=behind,
        methods=of_methods,
        styles=printer.gallery.css,
        terms=known,
    )


def _shown(own: ResultSet, records: Records, full_names: Mapping[str, str]) -> dict[str, Any]:
    """A result set for the template."""
    facts = describe(own.rows[~own.rows["method"].isin(REFERENCES)])
    told = summary(own, records.catalogue, full_names)
    return {
        "own": own,
        "summary": told,
        "plot": trade_off(own, told.scales),
        "seeds": per_seed(own),
        "facts": ", ".join([f"{facts['protocol']} protocol", _training(facts), _limit(facts["limit"])]),
    }


def _training(facts: Mapping[str, str]) -> str:
    """How originals came to be, and retrained models, if there are any."""
    given = "originals given, not trained here" if GIVEN in facts else ""
    recipe = "their recipe not known" if facts["epochs"] == "none" else f"{facts['epochs']} epochs"
    return ", ".join(one for one in (given, recipe) if one)


def _limit(limit: str) -> str:
    return "all training samples" if limit == "none" else f"{limit} training samples"


def _filters(sets: Sequence[ResultSet], titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """What can be chosen, where there is a choice: field, words, options (value, text)."""
    labels: list[Labels] = [one.labels for one in sets]
    offered = {
        name: [(one, one) for one in sorted({getattr(label, name) for label in labels}, key=str.casefold)]
        for name in FILTERS
    }
    shown = {str(name) for one in sets for name in one.methods["method"]}
    offered["method"] = sorted(
        ((name, title) for name, title in titles.items() if name in shown), key=lambda pair: pair[1].casefold()
    )
    words = {**FILTERS, "method": "Method"}
    chosen = {name: options for name, options in offered.items() if len(options) > 1}
    return [{"field": name, "words": words[name], "options": options} for name, options in chosen.items()]


def _coverage(cases: pd.DataFrame) -> str:
    """In words: how many models were asked for and what came of them."""
    if cases.empty:
        return "No models were scored one by one"
    counts = cases["outcome"].value_counts()
    outcomes = ", ".join(f"{count} {str(outcome).replace('_', ' ')}" for outcome, count in counts.items())
    return f"{len(cases)} models asked for: {outcomes}; {int(cases['usable'].sum())} usable"
