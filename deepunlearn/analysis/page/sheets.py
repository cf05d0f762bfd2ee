"""Tables for the template: cells with links and reasons that open, headers that explain themselves and sort."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from deepunlearn.analysis.glossary import explain
from deepunlearn.analysis.page.downloads import Download, download
from deepunlearn.analysis.page.pictures import Gallery
from deepunlearn.analysis.render import Table
from deepunlearn.core.measure_config import Column, Term
from deepunlearn.metrics.catalogue import Catalogue

METHOD_COLUMNS = ("method", "better", "worse")  # columns that hold titles of methods
MAY_BE_EMPTY = ("status", "why")  # columns that are left out where they say nothing
REASONS = ("why",)  # columns whose cells are markers that open
LONG = 40  # characters of a cell on one line
TWO_PARTS = re.compile(r"(\S+(?: [↓↑])?) (± .*|\(.*\))")  # a number and what stands small below it, or a header


@dataclass(frozen=True)
class Header:
    """tip: what it means. ideal: the best value, for sorting by distance to it; first: which way it sorts first."""

    text: str
    under: str = ""
    tip: str = ""
    ideal: float | None = None
    first: str = "up"


@dataclass(frozen=True)
class Cell:
    """under: stands small below; link: an id in the page; opens: the text is behind a marker; long: it wraps."""

    text: str
    under: str = ""
    link: str = ""
    opens: bool = False
    long: bool = False


@dataclass(frozen=True)
class Sheet:
    name: str
    title: str
    caption: str
    headers: list[Header]
    lines: list[list[Cell]]
    download: Download | None = None


class Printer:
    """Makes sheets, and keeps the figures. links: title of a method or a result set -> id of its view."""

    def __init__(self, links: Mapping[str, str], terms: tuple[Term, ...], catalogue: Catalogue) -> None:
        self.links, self.terms, self.gallery = links, terms, Gallery()
        self.columns = {column.header: column for column in catalogue.columns}

    def sheet(self, table: Table, title: str = "") -> Sheet:
        """A table, its data to be downloaded. title: in place of its own."""
        shown = self.of(table.shown, table.name, title or table.title, table.caption)
        return replace(shown, download=download(table.name, table.data))

    def of(self, shown: pd.DataFrame, name: str, title: str, caption: str) -> Sheet:
        """shown: text alone."""
        shown = shown[[column for column in shown if column not in MAY_BE_EMPTY or shown[column].ne("").any()]]
        names = [str(column) for column in shown]
        headers = [self._header(column, shown) for column in names]
        texts = shown.astype(str).to_numpy().tolist()
        lines = [[self._cell(*pair) for pair in zip(names, line, strict=True)] for line in texts]
        return Sheet(name, title, caption, headers, lines)

    def _header(self, name: str, shown: pd.DataFrame) -> Header:
        column = self.columns.get(name)
        tip = explain(name, self.terms)
        if column is None:
            return Header(name, "", tip)
        ideal = _ideal(column, name, shown)
        return Header(*in_two(name), tip, ideal, "down" if column.better == "higher" and ideal is None else "up")

    def _cell(self, column: str, text: str) -> Cell:
        linked = column in (*METHOD_COLUMNS, "result set")
        opens = column in REASONS and bool(text)
        first, under = in_two(text) if not opens else (text, "")
        return Cell(first, under, self.links.get(text, "") if linked else "", opens, len(text) > LONG)


def in_two(text: str) -> tuple[str, str]:
    """What stands first and what below it: "0.98 ± 0.01 ¹" -> "0.98", "± 0.01 ¹"."""
    found = TWO_PARTS.fullmatch(text)
    return (found[1], found[2]) if found else (text, "")


def _ideal(column: Column, name: str, shown: pd.DataFrame) -> float | None:
    """The value to meet: one that is known, or the retrained model's in the same table."""
    if column.better == "ideal":
        return column.best
    if column.better != "retrained" or "method" not in shown:
        return None
    own = shown.loc[shown["method"] == "retrained", name]
    return _number(own.iloc[0]) if len(own) else None


def _number(text: str) -> float | None:
    try:
        return float(text.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        return None


def only(table: Table, keep: pd.Series[bool], drop: Sequence[str]) -> pd.DataFrame:
    """Some lines of what a table shows, without some columns."""
    return table.shown[keep.to_numpy()].drop(columns=list(drop), errors="ignore")
