"""Every figure of the report, from records."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from deepunlearn.analysis.aggregate import aggregate, result_set_rows, with_names
from deepunlearn.analysis.figures import kept
from deepunlearn.analysis.figures.kept import Kept
from deepunlearn.analysis.figures.over_cells import cell_figures
from deepunlearn.analysis.figures.rounds import round_figures
from deepunlearn.analysis.figures.scores import score_figures
from deepunlearn.analysis.figures.search import all_importances, search_figures
from deepunlearn.analysis.figures.sizes import size_figures
from deepunlearn.analysis.figures.style import PAGE, Picture, Sheet, Subject, titles_of
from deepunlearn.analysis.figures.ulira import attack_figures
from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.analysis.records import Records
from deepunlearn.analysis.rows import REFERENCES
from deepunlearn.core.provenance import cores

FEW = 4  # result sets that are drawn before other processes have started
MOST_WORKERS = 4  # each takes a fifth of a gigabyte


class Drawing(NamedTuple):
    """A result set: rows with its references, its lines of `aggregate`, its losses and the trials of its searches."""

    name: str
    rows: pd.DataFrame
    lines: pd.DataFrame
    losses: pd.DataFrame
    trials: pd.DataFrame


def draw(
    records: Records, ranked: list[Ranking], sheet: Sheet = PAGE, importances: Path | None = None
) -> list[Picture]:
    """The figures over all cells, then those of each result set; many result sets are shared out to processes.

    importances: a file in which those of the searches are kept from one call to the next.
    """
    known = kept.read(importances) if importances else {}
    sets, draw_one = list(_result_sets(records)), partial(_draw, sheet=sheet, known=known)
    if len(sets) <= FEW:
        over, drawn = _over_sets(records, ranked, sheet), list(map(draw_one, sets))
    else:
        workers = min(MOST_WORKERS, len(cores()))
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            under_way = pool.map(draw_one, sets)  # while the first are drawn here
            over, drawn = _over_sets(records, ranked, sheet), list(under_way)
    used = dict(chain.from_iterable(found.items() for _, found in drawn))
    if importances and used != known:
        kept.write(importances, used)
    return [*over, *chain.from_iterable(pictures for pictures, _ in drawn)]


def _over_sets(records: Records, ranked: list[Ranking], sheet: Sheet) -> list[Picture]:
    counted = records.counted
    return [
        *cell_figures(ranked, counted.rows, counted.cases, sheet),
        *size_figures(counted.rows, counted.cases, sheet),
        *round_figures(records.rows, records.cases, sheet),
        *attack_figures(records.attacks, sheet),
    ]


def _result_sets(records: Records) -> Iterator[Drawing]:
    """Those with rows, under the names that their tables have."""
    frame, cases = records.counted.rows, records.counted.cases
    if frame.empty:
        return
    rows, table = result_set_rows(frame, cases), with_names(aggregate(frame, cases))
    for name, lines in table.groupby("name"):
        result_set = lines["result_set"].iloc[0]
        subset = rows[(rows["cell"] == lines["cell"].iloc[0]) & (rows["result_set"] == result_set)]
        if len(subset):
            losses = records.losses[records.losses["metrics_key"].isin(subset["metrics_key"])]
            trials = records.trials[records.trials["result_set"] == result_set]
            yield Drawing(str(name), subset, lines, losses, trials)


def _draw(drawing: Drawing, sheet: Sheet, known: Kept) -> tuple[list[Picture], Kept]:
    """The figures of a result set, and the importances in them."""
    rows, trials = drawing.rows, drawing.trials
    methods = titles_of(rows[~rows["method"].isin(REFERENCES)])
    cell_title = f"{rows['dataset_title'].iloc[0]}, {rows['arch_title'].iloc[0]}"
    subject = Subject(caption_text(describe(rows)), drawing.name, cell_title)
    shares, found = all_importances(trials, known)
    of_scores = score_figures(rows, drawing.lines, drawing.losses, sheet, subject)
    return [*of_scores, *search_figures(trials, methods, sheet, subject, shares)], found
