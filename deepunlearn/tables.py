"""Tables of all stored results, printed and written to <results>/tables/ as Markdown, CSV and LaTeX, and a figure each.

usage: python -m deepunlearn.tables [results=DIR] [partial=true] [compare=paper]

  results=DIR    the results folder (default: results)
  partial=true   make tables although expected rows are missing; every table then says which
  compare=paper  put the ranks and RTE of Deep Unlearn's tables 1 and 2 beside ours, and its findings

Opens with a coverage table: what the sweeps asked for, what was found, what failed and why.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from deepunlearn.analysis import figures, render, rows, tables
from deepunlearn.analysis.coverage import outcomes, require_complete
from deepunlearn.analysis.options import parse_options
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.doors import run_door, wants_help

COMPARED = ("none", "paper")


def make_tables(results: Path, partial: bool, compare: bool = False) -> list[render.Table]:
    """Collect the rows below `results`, write `rows.parquet`, `tables/` and `figures/` there, and return the tables.

    Raises ConfigError where there is nothing to tabulate, or expected rows are missing and `partial` is false.
    """
    frame = rows.collect(results)
    cases = outcomes(frame, results)
    if cases.empty:
        raise ConfigError(
            f"there are no results in {results}",
            allowed="a folder that a sweep wrote into",
            remedy="make some: python -m deepunlearn.sweep method=ft dataset=digits (or give results=DIR)",
        )
    if not partial:
        require_complete(cases)
    rows.write(frame, results)
    made = tables.build(frame, cases, compare)
    render.write(made, results / "tables")
    figures.draw(frame, cases, results / "figures")
    return made


def show(text: str) -> None:
    """Print Markdown: laid out on a terminal, as it is into a file or pipe."""
    if sys.stdout.isatty():
        Console().print(Markdown(text))
    else:
        print(text)


def main(arguments: Sequence[str]) -> int:
    """The door; returns the exit code."""
    if wants_help(arguments):
        print(__doc__)
        return 0
    options = parse_options(arguments, {"results": "results", "partial": False, "compare": "none"})
    if options["compare"] not in COMPARED:
        raise unknown("comparison", str(options["compare"]), COMPARED)
    results = Path(str(options["results"]))
    for table in make_tables(results, options["partial"] is True, options["compare"] == "paper"):
        show(render.to_markdown(table))
    print(f"written to {results / 'tables'} and {results / 'figures'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(run_door(main))
