"""The README's first table and figure: the searched methods of docs/findings.md, from the records in results/findings.

`make readme` writes both.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from findings_cells import CELLS, CIFAR, METHODS, NOT_RUN, Cell, Findings
from published import markdown
from record_pages import folders_in

from deepunlearn.analysis import figures, records
from deepunlearn.analysis.figures.style import Sheet, titles_of
from deepunlearn.analysis.inference import FEWEST_SEEDS, against_best
from deepunlearn.analysis.ranking import rankings
from deepunlearn.analysis.records import FOLDER, Records
from deepunlearn.analysis.rows import REFERENCES, current

ROOT = Path(__file__).parent.parent
SITTINGS = ROOT / "results" / "findings"
PICTURE = ROOT / "docs" / "findings.png"
SCORES = ("RetDev", "Indisc", "RTE")
ARROWS = {"RetDev": "↓", "Indisc": "↑", "RTE": "↑"}
TESTED, FIRST = ("RetDev", "Indisc"), " ¹"
WIDTH = 6.8  # inches, the wider of a paper's two


def gathered() -> Records:
    """All sittings."""
    return records.gather(folders_in(SITTINGS))


def digest() -> str:
    """Of all tables of all sittings: what table and figure are made of."""
    files = sorted(SITTINGS.glob(f"*/{FOLDER}/*.parquet"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def table(of: Records) -> str:
    """A line for each method, the best RetDev of the first cell first: mean and standard deviation over seeds."""
    found = Findings.of(of)
    cells = {name: found.cell(run) for name, run in CELLS.items()}
    titles, known = titles_of(current(of.rows)), current(of.rows)
    header = ["method", *(f"{score} {ARROWS[score]} {name.split()[0]}" for name in cells for score in SCORES)]
    columns = [_column(known, cell, METHODS[name], score) for name, cell in cells.items() for score in SCORES]
    lines = [[titles.get(one, one), *(column[one] for column in columns)] for one in (*REFERENCES, *_in_order(cells))]
    return markdown(header, lines)


def _in_order(cells: Mapping[str, Cell | None]) -> list[str]:
    """The methods of the first cell, those that failed last."""
    first = cells[CIFAR]
    assert first is not None, "the first cell has been run"
    means = first.placed("RetDev").mean().reindex(first.methods)
    return [str(name) for name in means.sort_values(kind="stable").index]


def _column(rows: pd.DataFrame, cell: Cell | None, methods: Sequence[str], score: str) -> Mapping[str, str]:
    """Model -> its text; blank for a method that the design has in no run of the cell. rows: for the references."""
    if cell is None:
        return defaultdict(str, dict.fromkeys(methods, NOT_RUN))
    of_cell = rows[(rows["cell"] == cell.models["cell"].iloc[0]) & rows["seed"].isin(cell.models["seed"])]
    references = {name: of_cell[of_cell["method"] == name][score] for name in REFERENCES}
    texts = {name: _around(values) for name, values in references.items() if values.notna().all()}
    values, first = cell.values(score), _first(cell, score)
    for name in methods:
        if name in values:
            texts[name] = _around(values[name]) + (FIRST if name in first else "")
        elif name in cell.methods:
            texts[name] = "F ({}/{})".format(*cell.usable(name)) if score == SCORES[0] else "F"
        else:
            texts[name] = NOT_RUN
    return defaultdict(str, texts)


def _first(cell: Cell, score: str) -> set[str]:
    """The best method, and those that no test tells apart from it; none for scores or seeds that allow no test."""
    bad = cell.bad(score)
    if score not in TESTED or bad.empty or len(bad) < FEWEST_SEEDS:
        return set()
    verdicts = against_best(bad.to_numpy(float), int(bad.mean().argmin()))
    return {str(name) for name, one in zip(bad, verdicts, strict=True) if one.verdict != "differs"}


def _around(values: pd.Series[float]) -> str:
    return f"{values.mean():.2f} ± {values.std():.2f}"


def draw(of: Records) -> None:
    """RetDev against Indisc in the first cell."""
    cell = Findings.of(of).cell(CELLS[CIFAR])
    assert cell is not None
    name, sets = cell.models["cell"].iloc[0], set(cell.models["result_set"]) - {""}
    asked = of.cases["run"].str.rpartition("-")[0] == CELLS[CIFAR]

    def own(frame: pd.DataFrame) -> pd.DataFrame:
        """Of one set: SFRon, whose steps are given, would be a set of its own."""
        of_set = frame["result_set"].fillna("")
        kept = frame[(frame["cell"] == name) & of_set.isin({"", *sets})]
        return kept.assign(result_set=of_set.replace(dict.fromkeys(sets, min(sets)))).reset_index(drop=True)

    rows, cases = own(of.rows), own(of.cases[asked])
    kept = replace(of, rows=rows, cases=cases, trials=of.trials.iloc[:0], losses=of.losses.iloc[:0])
    ranked = rankings(kept.counted.rows, kept.counted.cases)
    (picture,) = (
        one for one in figures.draw(kept, ranked, Sheet(WIDTH, "png")) if one.name.startswith("retdev-indisc")
    )
    PICTURE.write_bytes(picture.file)
