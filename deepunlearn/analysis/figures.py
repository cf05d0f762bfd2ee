"""Figures from rows: for each result set, retention against the attack."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepunlearn.analysis.aggregate import result_set_rows
from deepunlearn.analysis.rows import REFERENCES

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # safe for colour-blind readers
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DOTS_PER_INCH = 110


def draw(frame: pd.DataFrame, cases: pd.DataFrame, folder: Path) -> list[Path]:
    """One PNG per result set: a point per usable model, a large one for each method's mean.

    frame, cases: as `tables.build` takes them. Returns the files' paths.
    """
    rows = result_set_rows(frame, cases)
    scored = rows[rows["usable"] & rows["RetDev"].notna() & rows["Indisc"].notna() & (rows["result_set"] != "")]
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw(part, folder) for _, part in scored.groupby(["dataset", "arch", "result_set"])]


def _draw(part: pd.DataFrame, folder: Path) -> Path:
    first = part.iloc[0]
    path = folder / f"{first['dataset']}-{first['arch']}-{first['result_set'][:8]}.png"
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot()
        for number, (method, own) in enumerate(_in_order(part)):
            _cloud(axes, method, own, number)
        axes.set_title(f"{first['dataset_title']}, {first['arch_title']}: large marks are means over seeds")
        axes.set_xlabel("RetDev, deviation of accuracies from the retrained model (best 0)")
        axes.set_ylabel("Indisc (best 1)")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.savefig(path, dpi=DOTS_PER_INCH)
    return path


def _cloud(axes: Axes, method: str, own: pd.DataFrame, number: int) -> None:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    x, y = own["RetDev"].to_numpy(float), own["Indisc"].to_numpy(float)
    axes.scatter(x, y, s=18, alpha=0.45, linewidths=0, color=colour, marker=marker)
    axes.scatter(x.mean(), y.mean(), s=90, label=method, edgecolors="white", color=colour, marker=marker)


def _in_order(part: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Methods by name after the references, so that colours agree between figures of the same methods."""
    named = {str(method): own for method, own in part.groupby("method")}
    names = [name for name in REFERENCES if name in named] + sorted(set(named) - set(REFERENCES))
    return [(str(named[name].iloc[0]["method_title"]), named[name]) for name in names]
