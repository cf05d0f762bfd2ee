"""What was asked for of requests one after the other: each model with its sequence and round, whether it has a row."""

from __future__ import annotations

import pandas as pd

from deepunlearn.analysis.aggregate import method_titles
from deepunlearn.analysis.rows import REFERENCES, current
from deepunlearn.analysis.sets import asked_for
from deepunlearn.forget.rounds import told

ALIKE = ["dataset", "arch", "forget_title", "sequence"]


def placed(frame: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """The models of methods among `cases` that are of a sequence with rows, and sequence, round, method_title and kind.

    frame, cases: as in `Records`; kind: as of `sets.asked_for`.
    """
    rows = current(frame)
    sets = asked_for(rows[~rows["method"].isin(REFERENCES)], cases)[["cell", "result_set", "kind"]]
    own = cases[cases["result_set"] != ""].merge(sets, on=["cell", "result_set"])
    places, titles = _places(rows, own), method_titles(frame)
    own = own[own["cell"].isin(places)]
    return own.assign(
        sequence=[places[cell][0] for cell in own["cell"]],
        round=[places[cell][1] for cell in own["cell"]],
        method_title=[titles.get(name, name) for name in own["method"]],
    )


def _places(rows: pd.DataFrame, cases: pd.DataFrame) -> dict[str, tuple[str, int]]:
    """Cell -> its sequence and round; of a cell without any row by its title, where that is of one sequence."""
    rows = rows[rows["sequence"].notna()]
    pairs = zip(rows["sequence"].tolist(), rows["round"].astype(int).tolist(), strict=True)
    places: dict[str, tuple[str, int]] = dict(zip(rows["cell"].tolist(), pairs, strict=True))
    sequences: dict[tuple[str, ...], set[str]] = {}
    for dataset, arch, title, sequence in rows[ALIKE].drop_duplicates().itertuples(index=False):
        if (parts := told(title)) is not None:
            sequences.setdefault((dataset, arch, parts[0], str(parts[2])), set()).add(sequence)
    bare = cases[~cases["cell"].isin(places)][["cell", "dataset", "arch", "forget"]].drop_duplicates()
    for cell, dataset, arch, title in bare.itertuples(index=False):
        if (parts := told(title)) is not None:
            found = sequences.get((dataset, arch, parts[0], str(parts[2])), set())
            places |= {cell: (next(iter(found)), parts[1])} if len(found) == 1 else {}
    return places
