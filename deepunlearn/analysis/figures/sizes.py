"""Figures of scores against the size of the forget set: one for each cell, way of choosing, and kind of forget set."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from deepunlearn.analysis.figures.style import (
    LETTER,
    LINE,
    Look,
    Picture,
    Sheet,
    Subject,
    blank,
    finish,
    key_lines,
    logarithmic,
    looks,
    plain,
    titles_of,
)
from deepunlearn.analysis.figures.trade_off import SPAN
from deepunlearn.analysis.inference import FEWEST_SEEDS, Floats, mean_interval
from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.rows import KIND, REFERENCES, current
from deepunlearn.analysis.sets import FOLLOW, RECIPE
from deepunlearn.metrics.catalogue import BUILT_IN

SCORES = ("RetDev", "gap", "Indisc", "RTE")
SIZE = re.compile(r"[\d.,]+(?= (%|[a-z]))")  # in a title: "20 random samples", "random 10 %", but not "class 3"
SAME = [name for name in RECIPE if name not in (*FOLLOW, "forget_title")]  # what cells of a series have in common
PANEL = 1.55  # inches: of the height of a panel; two lie beside each other
ASIDE = 1.04  # factor between two methods of one size
ROOM = 1.25  # of the axis beyond the smallest and largest size


def size_figures(frame: pd.DataFrame, sheet: Sheet) -> Iterator[Picture]:
    """Of every series of at least two sizes. frame: as in `Records`."""
    found = [*series(frame)]
    for number, (name, rows) in enumerate(found):
        stem = f"sizes-{rows['dataset'].iloc[0]}-{rows['arch'].iloc[0]}"
        several = sum(
            other[["dataset", "arch"]].iloc[0].equals(rows[["dataset", "arch"]].iloc[0]) for _, other in found
        )
        yield _figure(rows, name, f"{stem}-{number + 1}" if several > 1 else stem, sheet)


def series(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows, with their references, that differ in the size of the forget set, and what that is called apart from it.

    Sizes are told by the titles: "random 5 %" and "random 20 %" are of one series, "class cat" and "class dog" of none.
    """
    rows = current(frame)
    rows = rows.assign(series=rows["forget_title"].map(lambda title: SIZE.sub("…", str(title))))
    references = rows["method"].isin(REFERENCES)
    for (_, _, name, *_), own in rows[~references].groupby(["dataset", "arch", "series", *SAME, *KIND], dropna=False):
        if own["n_forget"].nunique() > 1:
            beside = rows[references].merge(own[["cell", "seed"]].drop_duplicates(), on=["cell", "seed"])
            yield str(name), pd.concat([beside[list(own)], own], ignore_index=True)


def _figure(rows: pd.DataFrame, series_name: str, name: str, sheet: Sheet) -> Picture:
    titles = titles_of(rows)
    look = looks(titles)
    usable = rows[rows["usable"]]
    drawn = [score for score in SCORES if usable[score].notna().any()]
    lines, columns = key_lines(sheet, titles.values())
    low, high = rows["n_forget"].min() / ROOM, rows["n_forget"].max() * ROOM
    with blank(sheet, PANEL * math.ceil(len(drawn) / 2) + LINE * (lines + 1)) as figure:
        panels = figure.subplots(math.ceil(len(drawn) / 2), 2, sharex=True, squeeze=False).ravel()
        for score, axes in zip(drawn, panels, strict=False):
            for number, method in enumerate(titles):
                beside = ASIDE ** (number - (len(titles) - 1) / 2)
                _line(axes, usable[usable["method"] == method], score, look[method], beside)
            logarithmic(axes, low, high)
            _upwards(axes, usable[score].dropna())
            axes.set_title(_headed(score, sheet), loc="left", pad=2)
            axes.grid(alpha=0.3)
        for number, axes in enumerate(panels):
            axes.set_visible(number < len(drawn))
            last = number + 2 >= len(drawn)
            axes.tick_params(labelbottom=last)
            axes.set_xlabel("samples to forget" if last else "")
        for method, title in titles.items():
            one = look[method]
            panels[0].plot([], [], color=one.colour, marker=one.marker, linestyle=one.line, markersize=4, label=title)
        figure.legend(*panels[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=columns)
        first = rows.iloc[0]
        title = (
            f"{first['dataset_title']}, {first['arch_title']}: scores against the size of the forget set "
            f"({series_name}), methods of one size beside each other; {_spread(usable)}{_failed(rows, titles)}"
        )
        return finish(figure, sheet, name, title, Subject(caption_text(describe(rows))))


def _line(axes: Axes, own: pd.DataFrame, score: str, look: Look, beside: float) -> None:
    """A method's means over seeds, of sizes at which it has a value; bars are intervals, dots single seeds.

    beside: factor by which it is drawn off its sizes, so that bars can be told apart.
    """
    known = own[own[score].notna()]
    sizes = sorted(known["n_forget"].unique().tolist())
    values: list[Floats] = [known.loc[known["n_forget"] == size, score].to_numpy(float) for size in sizes]
    places = [size * beside for size in sizes]
    means = [one.mean() for one in values]
    axes.plot(places, means, color=look.colour, marker=look.marker, markersize=4, linewidth=1.0, linestyle=look.line)
    for place, one in zip(places, values, strict=True):
        interval = mean_interval(one)
        if interval is not None:
            axes.plot([place, place], interval, color=look.colour, linewidth=2.2, alpha=0.35)
        elif len(one) > 1:
            axes.scatter(np.full(len(one), place), one, s=5, color=look.colour, alpha=0.5, linewidths=0)


def _headed(score: str, sheet: Sheet) -> str:
    """A panel's title: the header of the score, without its hint where that would not fit."""
    header = BUILT_IN[score].header
    return header if LETTER * len(header) < 0.4 * 72 * sheet.width else header.partition(" (")[0]


def _upwards(axes: Axes, values: pd.Series) -> None:
    """A logarithmic y axis where values, all above 0, span a factor of `SPAN`."""
    if values.min() > 0 and values.max() >= SPAN * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: plain(value))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _spread(usable: pd.DataFrame) -> str:
    """How seeds are shown."""
    counts = usable.groupby(["cell", "method"])["seed"].nunique()
    if counts.min() >= FEWEST_SEEDS:
        return "means over seeds with their 95 % intervals (Student's t)"
    bars = f", bars 95 % intervals where there are {FEWEST_SEEDS} seeds" if counts.max() >= FEWEST_SEEDS else ""
    return f"means over seeds{bars}, dots single seeds" if counts.max() > 1 else "one seed"


def _failed(rows: pd.DataFrame, titles: dict[str, str]) -> str:
    """Says at which sizes a mean is of fewer models, as others are not usable."""
    short = rows[~rows["usable"]].groupby(["method", "n_forget"]).size().rename("count").reset_index()
    told = [f"{titles[str(one.method)]} at {one.n_forget} ({one[3]})" for one in short.itertuples()]
    return f"; models that are not usable, and not drawn: {', '.join(told)}" if told else ""
