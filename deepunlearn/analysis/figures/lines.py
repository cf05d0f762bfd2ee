"""Panels of scores against something that has an order: the methods' means over seeds, joined by lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from deepunlearn.analysis.figures.style import LETTER, LINE, Look, Sheet, key_lines, looks, plain, titles_of
from deepunlearn.analysis.figures.trade_off import SPAN
from deepunlearn.analysis.inference import FEWEST_SEEDS, Floats, mean_interval
from deepunlearn.metrics.catalogue import BUILT_IN

PANEL = 1.55  # inches: of the height of a panel; two lie beside each other


@dataclass(frozen=True)
class Across:
    """What scores are drawn against: a column of rows, its label, where a value of it stands, how axes are laid out.

    place: value and how far beside it, so that bars of methods can be told apart (0: none) -> where it is drawn.
    """

    column: str
    label: str
    place: Callable[[float, float], float]
    lay_out: Callable[[Axes], None]


def height(sheet: Sheet, scores: int, titles: Mapping[str, str]) -> float:
    """Inches of a figure of so many panels, with a key of the methods."""
    lines, _ = key_lines(sheet, titles.values())
    return PANEL * math.ceil(scores / 2) + LINE * (lines + 1)


def panels(sheet: Sheet, figure: Figure, usable: pd.DataFrame, scores: list[str], across: Across) -> None:
    """A panel for each score, two beside each other, and a key below. usable: the rows that are drawn."""
    titles = titles_of(usable)
    drawn = figure.subplots(math.ceil(len(scores) / 2), 2, sharex=True, squeeze=False).ravel()
    for score, axes in zip(scores, drawn, strict=False):
        for number, method in enumerate(titles):
            own = usable[(usable["method"] == method) & usable[score].notna()]
            at = sorted(own[across.column].unique().tolist())
            places = [across.place(one, number - (len(titles) - 1) / 2) for one in at]
            values: list[Floats] = [own.loc[own[across.column] == one, score].to_numpy(float) for one in at]
            draw_means(axes, places, values, looks(titles)[method])
        across.lay_out(axes)
        title = upwards(axes, usable[score].dropna(), headed(score, sheet))
        axes.set_title(title, loc="left", pad=2)
        axes.grid(alpha=0.3)
    for number, axes in enumerate(drawn):
        axes.set_visible(number < len(scores))
        last = number + 2 >= len(scores)
        axes.tick_params(labelbottom=last)
        axes.set_xlabel(across.label if last else "")
    key(sheet, figure, drawn[0], titles)


def key(
    sheet: Sheet, figure: Figure, axes: Axes, titles: Mapping[str, str], others: Mapping[str, Look] | None = None
) -> None:
    """The key of the methods, below all panels. axes: one of them; others: looks of what is no method."""
    look, (_, columns) = {**looks(titles), **(others or {})}, key_lines(sheet, titles.values())
    for method, title in titles.items():
        one = look[method]
        axes.plot([], [], color=one.colour, marker=one.marker, linestyle=one.line, markersize=4, label=title)
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=columns)


def draw_means(axes: Axes, places: list[float], values: list[Floats], look: Look) -> None:
    """Means of values [seeds] at places, joined; bars are intervals of the means, dots single seeds."""
    means = [one.mean() for one in values]
    axes.plot(places, means, color=look.colour, marker=look.marker, markersize=4, linewidth=1.0, linestyle=look.line)
    for place, one in zip(places, values, strict=True):
        interval = mean_interval(one)
        if interval is not None:
            axes.plot([place, place], interval, color=look.colour, linewidth=2.2, alpha=0.35)
        elif len(one) > 1:
            axes.scatter(np.full(len(one), place), one, s=5, color=look.colour, alpha=0.5, linewidths=0)


def headed(score: str, sheet: Sheet) -> str:
    """A panel's title: the header of the score, without its hint where that would not fit."""
    header = BUILT_IN[score].header
    return header if LETTER * len(header) < 0.4 * 72 * sheet.width else header.partition(" (")[0]


def upwards(axes: Axes, values: pd.Series, title: str) -> str:
    """A logarithmic y axis where values, all above 0, span a factor of `SPAN`; the panel's title, which says so."""
    if not (len(values) and values.min() > 0 and values.max() >= SPAN * values.min()):
        return title
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: plain(value))
    axes.yaxis.set_minor_formatter(NullFormatter())
    return f"{title.partition(' (')[0]}, logarithmic"


def spread_in_words(usable: pd.DataFrame) -> str:
    """How seeds are shown; usable: rows that are drawn."""
    counts = usable.groupby(["cell", "method"])["seed"].nunique()
    if counts.min() >= FEWEST_SEEDS:
        return "means over seeds with their 95 % intervals (Student's t)"
    bars = f", bars 95 % intervals where there are {FEWEST_SEEDS} seeds" if counts.max() >= FEWEST_SEEDS else ""
    return f"means over seeds{bars}, dots single seeds" if counts.max() > 1 else "one seed"
