"""Figures (SVG and PNG) and one self-contained page, <results>/index.html, from all stored results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from deepunlearn.analysis import figures, inputs, page, tables
from deepunlearn.analysis.options import parse_options
from deepunlearn.analysis.ranking import rankings
from deepunlearn.cli import run_main, wants_help
from deepunlearn.config import method_configs
from deepunlearn.core.paths import write_atomically
from deepunlearn.core.provenance import commit
from deepunlearn.core.store import now

USAGE = f"""{__doc__}
usage: python -m deepunlearn.report [OPTION=VALUE ...]

{inputs.HELP}

The page holds all tables (click a header to sort), the figures, and a view for each method with its scores, its
hyper-parameters and its failures. It needs no network. Figures go to <results>/figures/ as well."""


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    if wants_help(arguments):
        print(USAGE)
        return 0
    options = parse_options(arguments, inputs.OPTIONS)
    results = Path(str(options["results"]))
    records = inputs.load_records(options)
    ranked = rankings(records.rows, records.cases)
    pictures = figures.draw(records, ranked)
    for path in (results / "figures").glob("*"):
        path.unlink()
    for picture in pictures:
        picture.write(results / "figures")
    made = tables.build(records, ranked, options["compare"] == "paper")
    about = {name: f"{method.paper}; reads {', '.join(method.reads)}" for name, method in method_configs().items()}
    by = f"page made {now()[:10]} by commit {commit()}"
    write_atomically(results / "index.html", page.build(records, made, pictures, about, by))
    print(f"{results / 'index.html'}: {len(made)} tables, {len(pictures)} figures (also in {results / 'figures'})")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
