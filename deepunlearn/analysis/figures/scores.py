"""Figures of one result set's models: retention against the attack, seconds, losses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deepunlearn.analysis.aggregate import standing
from deepunlearn.analysis.figures.style import (
    INK,
    LINE,
    STATES,
    Picture,
    Sheet,
    Subject,
    canvas,
    finish,
    in_order,
    key_above,
    key_lines,
    logarithmic,
    looks,
    plain,
    rows_of,
    titles_of,
)
from deepunlearn.analysis.figures.trade_off import HOLLOW, hollow_style, trade_off
from deepunlearn.analysis.inference import Floats
from deepunlearn.metrics.histograms import LOSS_EDGES

RIDGE = 0.85  # height of a histogram in lines of the list
RIDGE_LINE = 0.24  # inches
FORGET, TEST = "forget set", "test images"


def score_figures(
    rows: pd.DataFrame, lines: pd.DataFrame, losses: pd.DataFrame, sheet: Sheet, subject: Subject
) -> Iterator[Picture]:
    """Of one result set with its references. rows: as `aggregate.result_set_rows`; lines: of `aggregate`.

    losses: as `Records.losses`.
    """
    short = labels_of(lines)
    scored = rows[rows["usable"] & rows["RetDev"].notna() & rows["Indisc"].notna()]
    if len(scored):
        yield trade_off(scored, short, sheet, subject)
    timed = rows[rows["usable"] & rows["seconds"].notna()]
    if len(timed):
        yield _seconds(timed, short, sheet, subject)
    kept = rows.merge(losses, on="metrics_key")
    kept = kept[(kept["forget"].str.len() > 0) & (kept["test"].str.len() > 0)]
    if len(kept):
        yield _losses(kept, short, sheet, subject)


def labels_of(lines: pd.DataFrame) -> dict[str, str]:
    """Methods of which not every model is usable -> their label, with how many are: "GA: F, 1 of 2"."""
    titles = titles_of(lines)
    return {method: f"{titles[method]}: {told}" for method, told in standing(lines).items()}


def _seconds(rows: pd.DataFrame, short: Mapping[str, str], sheet: Sheet, subject: Subject) -> Picture:
    """rows: of usable models; `short` methods have a line that says so, and the dots of what is usable."""
    known = {**titles_of(rows), **short}
    means = rows.groupby("method")["seconds"].mean()
    order = sorted(in_order(known), key=lambda method: (method in short, means.get(method, math.inf)))
    look = looks(order)
    with canvas(sheet, 0.5 + LINE * len(order)) as axes:
        for line, method in enumerate(order):
            own = rows.loc[rows["method"] == method, "seconds"]
            axes.scatter(own, [line] * len(own), s=5, alpha=0.5, linewidths=0, color=INK)
            if not len(own):
                continue
            one = look[method]
            style: dict[str, Any] = hollow_style(one) if method in short else {"color": one.colour, "linewidths": 0}
            axes.scatter(own.mean(), line, s=26, marker=one.marker, zorder=3, **style)
            told = "" if method in short else f"{plain(own.mean())} s"
            axes.text(1.01, line, told, transform=axes.get_yaxis_transform(), va="center")
        rows_of(axes, [known[method] for method in order])
        logarithmic(axes, rows["seconds"].min() / 1.3, rows["seconds"].max() * 1.3)
        axes.set_xlabel("seconds (logarithmic)")
        title = (
            f"{subject.title}: wall time, of training for original and retrained, of unlearning for methods; large "
            f"marks are means, dots are seeds (of usable models){f'; hollow: {HOLLOW}; {STATES}' if short else ''}"
        )
        return finish(axes.figure, sheet, f"seconds-{subject.group}", title, subject)


def _losses(kept: pd.DataFrame, short: Mapping[str, str], sheet: Sheet, subject: Subject) -> Picture:
    titles = {method: short.get(method, title) for method, title in titles_of(kept).items()}
    look = looks(titles)
    lines, columns = key_lines(sheet, (FORGET, TEST))
    with canvas(sheet, 0.55 + RIDGE_LINE * len(titles) + LINE * lines) as axes:
        for line, method in enumerate(titles):
            own = kept[kept["method"] == method]
            forget, test = (np.sum(own[part].to_list(), axis=0, dtype=float) for part in ("forget", "test"))
            highest = _highest(forget / forget.sum(), test / test.sum())
            scale, colour = RIDGE / highest, look[method].colour
            _ridge(axes, line, test / test.sum() * scale, color=INK, alpha=0.22, linewidth=0)
            _ridge(axes, line, forget / forget.sum() * scale, facecolor="none", edgecolor=colour, linewidth=1.0)
            axes.text(1.01, line, f"{highest:.0%}", transform=axes.get_yaxis_transform(), va="center")
        rows_of(axes, list(titles.values()))
        logarithmic(axes, LOSS_EDGES[0], LOSS_EDGES[-1])
        axes.plot([], [], color=INK, linewidth=1.0, label=FORGET)
        axes.fill_between([], [], [], color=INK, alpha=0.22, linewidth=0, label=TEST)
        key_above(axes, lines, columns, RIDGE_LINE)
        axes.set_xlabel("cross-entropy, nats (logarithmic)")
        title = (
            f"{subject.title}: losses of the forget set and of test images; where they agree the attack fails. Each "
            "line has a scale of its own, at its right the share of the samples in its highest bin. The outermost bins "
            "hold all that lies beyond and are cut off at that height"
        )
        return finish(axes.figure, sheet, f"losses-{subject.group}", title, subject)


def _highest(forget: Floats, test: Floats) -> float:
    """The largest share that is drawn to scale: of the bins between the outermost, unless all losses are in these."""
    inner = max(forget[1:-1].max(), test[1:-1].max())
    return float(inner or max(forget.max(), test.max()))


def _ridge(axes: Axes, line: int, heights: Floats, **style: Any) -> None:
    top = line + 0.4
    axes.stairs(top - np.minimum(heights, RIDGE), LOSS_EDGES, baseline=top, fill=True, **style)
