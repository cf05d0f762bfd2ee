"""Every figure of the report, from records."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from deepunlearn.analysis.aggregate import result_set_rows, with_names
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

FEW = 4  # result sets that are drawn before other processes have started
MOST_WORKERS = 4  # each takes a fifth of a gigabyte

Drawing = tuple[str, pd.DataFrame, pd.DataFrame, pd.DataFrame]


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
        workers = min(MOST_WORKERS, len(os.sched_getaffinity(0)))
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
        *round_figures(records.rows, sheet),
        *attack_figures(records.attacks, sheet),
    ]


def _result_sets(records: Records) -> Iterator[Drawing]:
    """Name, rows with references, losses and trials of each."""
    rows = with_names(result_set_rows(records.counted.rows, records.counted.cases))
    for name, subset in rows.groupby("name"):
        losses = records.losses[records.losses["metrics_key"].isin(subset["metrics_key"])]
        yield str(name), subset, losses, records.trials[records.trials["result_set"] == subset["result_set"].iloc[0]]


def _draw(drawing: Drawing, sheet: Sheet, known: Kept) -> tuple[list[Picture], Kept]:
    """The figures of a result set, and the importances in them."""
    name, rows, losses, trials = drawing
    methods = titles_of(rows[~rows["method"].isin(REFERENCES)])
    cell_title = f"{rows['dataset_title'].iloc[0]}, {rows['arch_title'].iloc[0]}"
    subject = Subject(caption_text(describe(rows)), name, cell_title)
    shares, found = all_importances(trials, known)
    of_scores = score_figures(rows, losses, sheet, subject)
    return [*of_scores, *search_figures(trials, methods, sheet, subject, shares)], found
