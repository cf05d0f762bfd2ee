"""The rows behind the tables, one for each model, as CSV, and a page that says what its columns are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from deepunlearn.analysis.rows import current
from deepunlearn.core.paths import write_atomically
from deepunlearn.metrics.catalogue import Catalogue
from deepunlearn.metrics.row import MEANINGS

FILE, PAGE = "seeds.csv", "README.md"
INTRODUCTION = f"""# The files here

- `NAME.md`: a table for people, and below it the conditions of the models in it.
- `NAME.csv`: the same numbers with all digits. `COLUMN_mean` and `COLUMN_sd` are the mean and the standard deviation of
  a column of `{FILE}` over seeds; empty where some usable model has no value.
- `NAME.tex`: a document that compiles on its own. `NAME-input.tex`: what a paper shows of it, to `\\input` (booktabs),
  the best bold, the second best underlined; `NAME-notes.tex`: its conditions, as a paragraph.
- `{FILE}`: one line for each model that the tables count, original and retrained models too.
- `files.txt`: the tables' files that the command wrote. It replaces these, and leaves all others.

Columns of `{FILE}`; an empty field has no value:

"""


def write(rows: pd.DataFrame, catalogue: Catalogue, folder: Path) -> None:
    """Write both files into `folder`. rows, catalogue: as in `Records`."""
    kept = current(rows)
    write_atomically(folder / FILE, kept.to_csv(index=False, lineterminator="\n"))
    meanings = {**MEANINGS, **{column.name: column.meaning for column in catalogue.columns}}
    write_atomically(folder / PAGE, INTRODUCTION + _listed({str(name): meanings[str(name)] for name in kept}))


def _listed(meanings: Mapping[str, str]) -> str:
    lines = [f"| `{name}` | {meaning.replace('|', chr(92) + '|')} |" for name, meaning in meanings.items()]
    return "\n".join(["| column | meaning |", "|---|---|", *lines, ""])
