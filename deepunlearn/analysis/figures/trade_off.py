"""Retention against the attack: RetDev and Indisc of each method of a result set, labelled at the marks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from deepunlearn.analysis.figures import labels as labels_beside
from deepunlearn.analysis.figures.style import (
    FONT,
    INK,
    Look,
    Picture,
    Sheet,
    Subject,
    canvas,
    finish,
    looks,
    plain,
    titles_of,
    wrapped,
)
from deepunlearn.analysis.inference import FEWEST_SEEDS, Floats, mean_interval
from deepunlearn.analysis.rows import REFERENCES

SPAN = 10.0  # of the largest to the smallest mean, from which on the axis is logarithmic
MOST_DECADES = 3  # of RetDev, below the largest mean; what is smaller lies in the linear part beside 0
RADIUS = 3.4  # points, of a mark
POINTS = 9  # of an interval, that labels keep off
BETTER = "↖ better"
HOLLOW = "not every model is usable"
FEW = f" (of methods with fewer than {FEWEST_SEEDS} usable models)"


class Scale(NamedTuple):
    """RetDev's axis. linear_to: linear below, logarithmic above; infinite: linear everywhere."""

    linear_to: float
    highest: float

    @property
    def is_linear(self) -> bool:
        return math.isinf(self.linear_to)


def scale_of(means: Floats, highest: float) -> Scale:
    """means: RetDev of the methods, at least 0; highest: the largest value that is drawn."""
    positive = means[means > 0]
    if not len(positive) or positive.max() < SPAN * positive.min():
        return Scale(math.inf, 1.08 * max(highest, 0.01))
    smallest = max(positive.min(), positive.max() / 10**MOST_DECADES)
    return Scale(10.0 ** math.floor(math.log10(smallest)), 1.5 * highest)


def trade_off(scored: pd.DataFrame, short: Mapping[str, str], sheet: Sheet, subject: Subject) -> Picture:
    """scored: usable rows with both scores; short: methods of which not every model is usable -> their label."""
    titles = titles_of(scored)
    look = looks([*titles, *short])
    points = {method: _points(scored[scored["method"] == method]) for method in titles}
    scale = _scale(points)
    with canvas(sheet, 3.0 if sheet.width < 5 else 3.9) as axes:
        for method, values in points.items():
            _mark(axes, values, look[method], method in short)
        axes.margins(y=0.08)
        lost = [label for method, label in short.items() if method not in titles]
        _label_axes(axes, scale, lost, sheet)
        figure: Any = axes.figure
        figure.draw_without_rendering()  # labels are placed on the axes as they will be
        _label_marks(axes, points, {method: short.get(method, title) for method, title in titles.items()})
        return finish(figure, sheet, f"retdev-indisc-{subject.group}", _title(subject, points, short), subject)


def _points(own: pd.DataFrame) -> Floats:
    """[seeds, (RetDev, Indisc)]."""
    return own[["RetDev", "Indisc"]].to_numpy(float)


def _scale(points: Mapping[str, Floats]) -> Scale:
    means = {method: float(values[:, 0].mean()) for method, values in points.items()}
    methods = [mean for method, mean in means.items() if method not in REFERENCES]
    drawn = [value for values in points.values() for value in (*values[:, 0], *_interval(values[:, 0]))]
    return scale_of(np.array(methods), max(drawn))


def _interval(values: Floats) -> tuple[float, ...]:
    return mean_interval(values) or ()


def _mark(axes: Axes, values: Floats, look: Look, hollow: bool) -> None:
    """The mean, with its intervals where there are enough seeds, with the seeds themselves where there are not."""
    if (lines := _intervals(values)) is not None:
        for line in lines:
            axes.plot(*line.T, color=look.colour, linewidth=0.9)
    elif len(values) > 1:
        axes.scatter(values[:, 0], values[:, 1], s=5, alpha=0.45, linewidths=0, color=look.colour, marker=look.marker)
    style: dict[str, Any] = hollow_style(look) if hollow else {"edgecolors": "white", "color": look.colour}
    x, y = values.mean(axis=0)
    axes.scatter(x, y, s=30, marker=look.marker, zorder=3, **{"linewidths": 0.6, **style})


def _intervals(values: Floats) -> tuple[Floats, Floats] | None:
    """Two lines [2, (RetDev, Indisc)] through the mean, within what these scores can be; None for too few seeds."""
    x, y = values.mean(axis=0)
    across, along = (mean_interval(column) for column in values.T)
    if across is None or along is None:
        return None
    return np.array([[max(across[0], 0), y], [across[1], y]]), np.array([[x, along[0]], [x, min(along[1], 1)]])


def _drawn_beside(values: Floats) -> Floats:
    """Points [n, 2] of what is drawn of a method beside its mean."""
    lines = _intervals(values)
    return values if lines is None else np.concatenate([np.linspace(start, end, POINTS) for start, end in lines])


def hollow_style(look: Look) -> dict[str, Any]:
    return {"facecolors": "none", "edgecolors": look.colour, "linewidths": 1.1}


def _label_axes(axes: Axes, scale: Scale, lost: list[str], sheet: Sheet) -> None:
    told = "RetDev, best 0"
    if scale.is_linear:
        axes.set_xlim(-0.04 * scale.highest, scale.highest)
    else:
        axes.set_xscale("symlog", linthresh=scale.linear_to, linscale=0.4)
        axes.set_xlim(-0.25 * scale.linear_to, scale.highest)
        axes.set_xticks(ticks(scale))
        axes.set_xticks([], minor=True)
        told += f" (logarithmic above {plain(scale.linear_to)})"
    axes.xaxis.set_major_formatter(lambda value, _: plain(value) if value else "0")
    axes.set_xlabel("\n".join([told, *([wrapped(sheet, f"no usable model: {'; '.join(lost)}", lost)] if lost else [])]))
    axes.set_ylabel("Indisc, best 1")
    axes.set_title(BETTER, loc="left", pad=3, fontweight="bold")
    axes.grid(alpha=0.3)


def ticks(scale: Scale) -> list[float]:
    """0 and the decades from the linear part on, with three times each where there are few."""
    decades = range(round(math.log10(scale.linear_to)), math.ceil(math.log10(scale.highest)) + 1)
    leads = (1, 3) if len(decades) < 5 else (1,)
    return [0.0, *(tick for power in decades for lead in leads if (tick := lead * 10.0**power) <= scale.highest)]


def _label_marks(axes: Axes, points: Mapping[str, Floats], labels: Mapping[str, str]) -> None:
    """Each label near its mark, with a line to it where there was no room beside it."""
    to_points = axes.transData + Affine2D().scale(72 / axes.figure.dpi)  # from data to points
    centres = to_points.transform([values.mean(axis=0) for values in points.values()])
    dots = to_points.transform(np.concatenate([_drawn_beside(values) for values in points.values()]))
    sizes = np.array([_size(labels[method]) for method in points])
    frame = axes.get_window_extent().get_points() * 72 / axes.figure.dpi
    places = labels_beside.place(labels_beside.Scene(centres, RADIUS, dots, frame), sizes)
    for method, mark, centre, end in zip(points, centres, *places, strict=True):
        x, y = to_points.inverted().transform(centre)
        axes.text(x, y, labels[method], ha="center", va="center", zorder=5)
        if np.linalg.norm(end - mark) > RADIUS + labels_beside.LINE_FROM:
            axes.plot(*to_points.inverted().transform([mark, end]).T, color=INK, linewidth=0.4, alpha=0.7, zorder=2)


def _size(text: str) -> tuple[float, float]:
    """Width and height in points."""
    extents = TextPath((0, 0), text, size=FONT).get_extents()
    return extents.width, 0.95 * FONT


def _title(subject: Subject, points: Mapping[str, Floats], short: Mapping[str, str]) -> str:
    """Methods with few usable models show these, beside the lines of others."""
    enough = [len(values) >= FEWEST_SEEDS for values in points.values()]
    spread = ["lines are 95 % intervals of the means"] if any(enough) else []
    spread += [] if all(enough) else [f"small marks are seeds{FEW if spread else ''}"]
    told = f"; hollow: {HOLLOW}" if set(points) & set(short) else ""
    return f"{subject.title}: accuracy kept against the attack; large marks are means, {', '.join(spread)}{told}"
