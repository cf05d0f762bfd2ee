"""Figures over sizes of the forget set: scores against the size, and which method for which size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deepunlearn.analysis.figures.lines import Across, height, panels, spread_in_words
from deepunlearn.analysis.figures.over_cells import DARK, LIGHT, SHADES
from deepunlearn.analysis.figures.style import (
    LINE,
    Picture,
    Sheet,
    Subject,
    blank,
    finish,
    logarithmic,
    titles_of,
)
from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.sizes import BySize, Series, Size, by_size
from deepunlearn.metrics import FOLDS

SCORES = ("RetDev", "gap", "Indisc", "RTE")
ASIDE = 1.04  # factor between two methods of one size
ROOM = 1.25  # of the axis beyond the smallest and largest size
FAILED, NO_VALUE = "F", "–"
WORST = 2.4  # the shade of the last place, from 0, of the best


def size_figures(frame: pd.DataFrame, cases: pd.DataFrame, sheet: Sheet) -> Iterator[Picture]:
    """Of every series of at least two sizes. frame, cases: as in `Records`."""
    for own in by_size(frame, cases):
        yield _choice(own, sheet)
        usable = own.series.rows[own.series.rows["usable"]]
        drawn = [score for score in SCORES if usable[score].notna().any()]
        if drawn:
            yield _scores(own.series, sheet, drawn)


# -------------------------------------------------------------------------------------------- scores against the size


def _scores(own: Series, sheet: Sheet, drawn: list[str]) -> Picture:
    rows, titles = own.rows, titles_of(own.rows)
    usable = rows[rows["usable"]]
    low, high = rows["n_forget"].min() / ROOM, rows["n_forget"].max() * ROOM
    across = Across(
        "n_forget", "samples to forget (logarithmic)", lambda size, aside: size * ASIDE**aside,
        lambda axes: logarithmic(axes, low, high),
    )  # fmt: skip
    with blank(sheet, height(sheet, len(drawn), titles)) as figure:
        panels(sheet, figure, usable, drawn, across)
        first = rows.iloc[0]
        title = (
            f"{first['dataset_title']}, {first['arch_title']}: scores against the size of the forget set "
            f"({own.label}), methods of one size beside each other; {spread_in_words(usable)}{_failed(rows, titles)}"
        )
        return finish(figure, sheet, f"sizes-{own.name}", title, Subject(caption_text(describe(rows))))


def _failed(rows: pd.DataFrame, titles: dict[str, str]) -> str:
    """Says at which sizes a mean is of fewer models, as others are not usable."""
    short = rows[~rows["usable"]].groupby(["method", "n_forget"]).size().rename("count").reset_index()
    told = [f"{titles[str(one.method)]} at {one.n_forget} ({one[3]})" for one in short.itertuples()]
    return f"; models that are not usable, and not drawn: {', '.join(told)}" if told else ""


# ------------------------------------------------------------------------------------------ which method for which size


def _choice(own: BySize, sheet: Sheet) -> Picture:
    """Methods x sizes: the place by each metric that orders methods somewhere; F where a method is not usable."""
    metrics = [metric for metric in own.metrics if any(len(size.order(metric)) for size in own.sizes)]
    methods = _methods(own)
    with blank(sheet, max(1, len(metrics)) * (0.42 + LINE * len(methods)) + 0.3) as figure:
        axes = figure.subplots(max(1, len(metrics)), 1, sharex=True, squeeze=False).ravel()
        for one, metric in zip(axes, metrics or own.metrics[:1], strict=True):
            _matrix(one, own, metric, methods)
        axes[-1].set_xlabel("samples to forget")
        axes[-1].set_xticks(np.arange(len(own.sizes)) + 0.5, [f"{size.samples:,}" for size in own.sizes])
        first = own.series.rows.iloc[0]
        title = (
            f"{first['dataset_title']}, {first['arch_title']}: which method for which size of the forget set "
            f"({own.series.label}); the place of each method's mean over seeds (1 is best, dark), F: fewer usable "
            f"models than seeds, {NO_VALUE}: no value; ~ and no shade: {_refusals(own, metrics)}"
        )
        subject = Subject(caption_text(describe(own.series.rows)))
        return finish(figure, sheet, f"sizes-choice-{own.series.name}", title, subject)


def _methods(own: BySize) -> list[str]:
    """Those that are usable at most sizes first; of these the best mean place by the first metric first."""
    places = {method: [_place(size, own.metrics[0], method) for size in own.sizes] for method in own.titles}
    known = {method: [place for place in found if place is not None] for method, found in places.items()}
    failed = {method: sum(_text(size, own.metrics[0], method) == FAILED for size in own.sizes) for method in own.titles}
    mean = {method: float(np.mean(found)) if found else float(len(places)) for method, found in known.items()}
    return sorted(own.titles, key=lambda method: (failed[method], mean[method], own.titles[method].casefold()))


def _place(size: Size, metric: str, method: str) -> int | None:
    order = size.order(metric).set_index("method")["place"]
    return int(order[method]) if method in order.index else None


def _text(size: Size, metric: str, method: str) -> str:
    if method in set(size.failed["method"]):
        return FAILED
    place = _place(size, metric, method)
    return NO_VALUE if place is None else str(place)


def _matrix(axes: Axes, own: BySize, metric: str, methods: list[str]) -> None:
    last = max(2, len(methods))
    for line, method in enumerate(methods):
        for column, size in enumerate(own.sizes):
            place = _place(size, metric, method)
            told = place is not None and not size.judged[metric].refused
            shade = WORST * (place - 1) / (last - 1) if told and place else 3.0
            text = _text(size, metric, method)
            hatch = "////" if text == FAILED else None
            axes.fill_between([column, column + 1], line, line + 1, facecolor=SHADES(shade / 3), edgecolor="white",
                              linewidth=0.6)  # fmt: skip
            if hatch:
                axes.fill_between([column, column + 1], line, line + 1, facecolor="none", edgecolor="#bbbbbb",
                                  hatch=hatch, linewidth=0)  # fmt: skip
            axes.text(column + 0.5, line + 0.5, text, ha="center", va="center_baseline",
                      color=LIGHT if shade < 0.8 else DARK)  # fmt: skip
    axes.set_ylim(len(methods), 0)
    axes.set_xlim(0, len(own.sizes))
    axes.set_yticks(np.arange(len(methods)) + 0.5, [own.titles[method] for method in methods])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"by {metric}", loc="left", pad=2 + _marks(axes, own, metric))


def _marks(axes: Axes, own: BySize, metric: str) -> float:
    """~ above each size at which nothing can be told of the order; returns points of room that these take."""
    refused = [column for column, size in enumerate(own.sizes) if size.judged[metric].refused]
    for column in refused:
        axes.text(column + 0.5, -0.05, "~", ha="center", va="bottom")
    return 8.0 if refused else 0.0


def _refusals(own: BySize, metrics: list[str]) -> str:
    """What keeps the order from being told where it cannot be, in words."""
    reasons = [own_size.judged[metric].refused for metric in metrics for own_size in own.sizes]
    told = list(dict.fromkeys(reason for reason in reasons if reason))
    none = f"; no attack below {FOLDS} samples" if any(size.no_attack for size in own.sizes) else ""
    return (f"no order can be told ({'; '.join(told)})" if told else "no order can be told; nowhere here") + none
