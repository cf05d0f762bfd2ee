"""Tables of all stored results, printed and written to <results>/tables/ as Markdown, CSV and LaTeX."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from deepunlearn.analysis import inputs, render, seed_rows, tables
from deepunlearn.analysis.ranking import rankings
from deepunlearn.cli import run_main, wants_help

USAGE = f"""{__doc__}
usage: python -m deepunlearn.tables [OPTION=VALUE ...]

{inputs.HELP}

Opens with a coverage table: what the sweeps asked for, what was found, what failed and why. What the tables are made of
is kept in <results>/records/, which is small and can be copied and joined. README.md among the tables explains the
files, and the columns of seeds.csv, which has a line for each model."""


def show(text: str) -> None:
    """Print Markdown: laid out on a terminal, as it is into a file or pipe."""
    if sys.stdout.isatty():
        Console().print(Markdown(text))
    else:
        print(text)


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    if wants_help(arguments):
        print(USAGE)
        return 0
    options = inputs.read_options(arguments)
    records = inputs.load_records(options)
    made = tables.build(records, rankings(records.counted.rows, records.counted.cases), str(options["compare"]))
    folder = Path(str(options["results"])) / "tables"
    render.write(made, folder)
    seed_rows.write(records.rows, records.catalogue, folder)
    for table in made:
        show(render.to_markdown(table))
    print(f"written to {folder}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
