"""The views behind the summary: all scores and figures of each result set, tables over cells, coverage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from deepunlearn.analysis.figures.style import Picture
from deepunlearn.analysis.page.downloads import Download, download
from deepunlearn.analysis.page.pictures import DRAWN_HERE, Inlined
from deepunlearn.analysis.page.result_sets import ResultSet
from deepunlearn.analysis.page.sheets import Printer, Sheet, only
from deepunlearn.analysis.provenance import describe
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.rows import REFERENCES

RANKINGS = r"(ranking|findings)(-|$).*|rte-.*"  # names of tables that come first over cells
OF_RANKING = r"(ranking|(?:groups|places)-(?:retdev|indisc)|groups|choices|differences|neighbours)(-.*)?"
UNTESTED = {"not testable", "best", "equal"}  # verdicts of a table that tells nothing
COVERAGE, VALUES = "coverage", "hyper-parameters"
OF_SERIES = {  # what names of tables and figures begin with -> title and short name of the view of their own
    "sizes": ("Which method for which size of the forget set", "Sizes"),
    "rounds": ("Requests one after the other", "Rounds"),
}
VALUES_MEAN = (
    "Values that each method ran with; of those that were searched the smallest norm of the losses that each search "
    "seed found (0 is best), and the values' ranges among the best trials."
)
TOLD_BY_TITLE = ("result set", "dataset", "arch", "search")  # columns of hyper-parameters


@dataclass(frozen=True)
class View:
    """name: its id; short: in the menu, "" where it is not listed; facts: provenance, name -> value."""

    name: str
    title: str
    short: str = ""
    trust: str = ""
    sheets: list[Sheet] = field(default_factory=list)
    pictures: list[Inlined] = field(default_factory=list)
    facts: Mapping[str, str] = field(default_factory=dict)


def views(
    sets: Sequence[ResultSet],
    ranked: Sequence[Ranking],
    tables: Sequence[Table],
    pictures: Sequence[Picture],
    printer: Printer,
) -> list[View]:
    """In the order of the menu: over cells, sizes, rounds, coverage, per-sample attacks, then each result set's."""
    drawn = [picture for picture in pictures if not picture.name.startswith(DRAWN_HERE)]
    named = {one.name: one for one in sets}
    over = [table for table in over_cells(tables, ranked) if table.name not in (COVERAGE, VALUES)]
    over = [table for table in over if not _series_of(table.name)]
    groups = [table for table in tables if table.group]
    values = next((table for table in tables if table.name == VALUES), None)
    coverage = [printer.sheet(table) for table in tables if table.name == COVERAGE]
    across = View(
        "over-cells",
        "Over all cells",
        "Over cells",
        sheets=[printer.sheet(table) for table in over],
        pictures=[
            printer.gallery.inline(one)
            for one in drawn
            if not one.group and _told(one, ranked) and not _series_of(one.name)
        ],
    )
    return [
        *([across] if across.sheets or across.pictures else []),
        *_over_series(tables, drawn, printer),
        *([View(COVERAGE, "Coverage", "Coverage", sheets=coverage)] if coverage else []),
        *(_group(table, drawn, printer) for table in groups if table.name not in named),
        *(_result_set(named[table.name], table, values, drawn, printer) for table in groups if table.name in named),
    ]


def _series_of(name: str) -> str:
    """Which of `OF_SERIES` a table or figure is of, "" of none."""
    return next((series for series in OF_SERIES if name.startswith(f"{series}-")), "")


def _over_series(tables: Sequence[Table], drawn: Sequence[Picture], printer: Printer) -> Iterator[View]:
    """A view for sizes and one for rounds, where there are such results."""
    for series, (title, short) in OF_SERIES.items():
        sheets = [printer.sheet(table) for table in tables if _series_of(table.name) == series]
        pictures = [printer.gallery.inline(picture) for picture in drawn if _series_of(picture.name) == series]
        if sheets or pictures:
            yield View(f"over-{series}", title, short, sheets=sheets, pictures=pictures)


def over_cells(tables: Sequence[Table], ranked: Sequence[Ranking]) -> list[Table]:
    """The tables that put cells together, rankings first, without those that tell nothing here.

    Those are rankings of one cell, which the summary has, and tests of which none could be made.
    """
    alone = {_suffix(one.name) for one in ranked if len(_cells(one)) < 2}
    over = [table for table in tables if not table.group and _suffix(table.name) not in alone and not _untested(table)]
    return sorted(over, key=lambda table: re.fullmatch(RANKINGS, table.name) is None)


def _suffix(name: str) -> str:
    """The name of the ranking that a table or figure is of, "" of none."""
    found = re.fullmatch(OF_RANKING, name)
    return f"ranking{found[2] or ''}" if found else ""


def _cells(ranking: Ranking) -> set[str]:
    return {str(cell) for groups in ranking.groups.values() for cell in groups}


def _untested(table: Table) -> bool:
    return "verdict" in table.data and set(table.data["verdict"]) <= UNTESTED


def _told(picture: Picture, ranked: Sequence[Ranking]) -> bool:
    """Whether a figure over cells says something: it has several, and of mean places two can be told apart."""
    own = next((one for one in ranked if one.name == _suffix(picture.name)), None)
    if own is None:
        return True
    if len(_cells(own)) < 2:
        return False
    decided = [one.difference.decides for one in own.judged.values() if one.difference]
    return not picture.name.startswith("places") or any(decided)


def _group(table: Table, drawn: Sequence[Picture], printer: Printer) -> View:
    """Of a table that is about no methods' models: a per-sample attack, or references alone."""
    own = [printer.gallery.inline(picture) for picture in drawn if picture.group == table.name]
    return View(table.name, table.title, _short(table.title), sheets=[printer.sheet(table)], pictures=own)


def _short(title: str) -> str:
    """ "CIFAR-10, ResNet18: per-sample attack (U-LiRA)" -> "U-LiRA: CIFAR-10, ResNet18"."""
    cell, _, what = title.partition(": ")
    inside = re.search(r"\(([^)]*)\)$", what)
    return f"{inside.group(1)}: {cell}" if inside else title


def _result_set(own: ResultSet, table: Table, values: Table | None, drawn: Sequence[Picture], printer: Printer) -> View:
    sheets = [printer.sheet(table, "All scores")]
    if values is not None:
        shown = only(values, values.data["result_set"] == own.result_set, TOLD_BY_TITLE)
        sheets.append(printer.of(shown, f"values-of-{own.name}", "Hyper-parameters", VALUES_MEAN))
    facts = describe(own.rows[~own.rows["method"].isin(REFERENCES)])
    return View(
        name=own.name,
        title=own.title,
        trust=own.trust,
        sheets=sheets,
        pictures=[printer.gallery.inline(picture) for picture in drawn if picture.group == own.name],
        facts=facts,
    )


def per_seed(own: ResultSet) -> Download:
    """Every model of a result set: a line per method and seed, all columns of its row."""
    return download(f"seeds-{own.name}", own.rows.drop(columns="name"))
