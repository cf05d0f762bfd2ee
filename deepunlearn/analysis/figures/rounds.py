"""Figures over requests that arrive one after the other: scores of each round, and seconds up to it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from deepunlearn.analysis.figures.lines import PANEL, Across, draw_means, height, key, panels, spread_in_words, upwards
from deepunlearn.analysis.figures.style import (
    INK,
    LINE,
    Look,
    Picture,
    Sheet,
    Subject,
    blank,
    finish,
    key_lines,
    looks,
    titles_of,
)
from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.round_tables import title_of
from deepunlearn.analysis.rounds import Course, courses, floats

RETENTION = ("RetDev", "RA", "RR", "TA", "FR", "TR")
REQUESTS = ("FA", "Disc_AUC", "FA_request", "Disc_AUC_request", "FA_earlier", "Disc_AUC_earlier")
ASIDE = 0.04  # rounds between two methods of one round
EACH, ONCE = "retraining each time", "retraining once"
RETRAINING = {EACH: Look(INK, "*", "--"), ONCE: Look(INK, "P", ":")}


def round_figures(frame: pd.DataFrame, cases: pd.DataFrame, sheet: Sheet) -> Iterator[Picture]:
    """Of every sequence of requests. frame, cases: as in `Records`."""
    for course in courses(frame, cases):
        for name, words, scores in (("scores", "scores", RETENTION), ("requests", "what is forgotten", REQUESTS)):
            drawn = [score for score in scores if course.standing[score].notna().any()]
            if drawn:
                yield _scores(course, sheet, f"rounds-{name}-{course.name}", words, drawn)
        if course.standing["retrain_seconds"].notna().any():
            yield _seconds(course, sheet)


def _subject(course: Course) -> Subject:
    return Subject(caption_text(describe(course.rows)))


def _lay_out(axes: Axes, course: Course) -> None:
    axes.set_xlim(course.rounds[0] - 0.4, course.rounds[-1] + 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _scores(course: Course, sheet: Sheet, name: str, words: str, drawn: list[str]) -> Picture:
    usable = course.standing
    across = Across("round", "round", lambda round, aside: round + ASIDE * aside, lambda axes: _lay_out(axes, course))
    with blank(sheet, height(sheet, len(drawn), titles_of(usable))) as figure:
        panels(sheet, figure, usable, drawn, across)
        title = (
            f"{title_of(course)}: {words} after each request, methods of one round beside each other; "
            f"{spread_in_words(usable)}{_broken(course)}"
        )
        return finish(figure, sheet, name, title, _subject(course))


def _broken(course: Course) -> str:
    """Says which methods have no usable model on every seed, why, and from which round on."""
    told = [f"{title} ({gap})" for method, title in course.methods.items() if (gap := course.gap(method))]
    words = "models that are not usable or not there, and later ones of their seeds, are not drawn"
    return f"; {words}: {', '.join(told)}" if told else ""


def _seconds(course: Course, sheet: Sheet) -> Picture:
    """Seconds up to each round; a ring where a method has become dearer than retraining each time."""
    spent = {method: course.spent(method) for method in course.methods}
    seconds = {method: own for method, own in spent.items() if own.notna().any(axis=None)}
    titles = {**{method: course.methods[method] for method in seconds}, EACH: EACH, ONCE: ONCE}
    lines, _ = key_lines(sheet, titles.values())
    with blank(sheet, PANEL + 0.6 + LINE * (lines + 1)) as figure:
        axes = figure.subplots()
        look = looks(course.methods)
        for method, own in seconds.items():
            _draw(axes, own, look[method])
            crossed = course.dearer_than_each(method).round
            if crossed is not None:
                axes.plot(crossed, own[crossed].mean(), marker="o", markersize=9, fillstyle="none", color=INK)
        retraining = _retraining(course)
        _draw(axes, retraining.cumsum(axis=1), RETRAINING[EACH])
        _draw(axes, retraining, RETRAINING[ONCE])
        _lay_out(axes, course)
        drawn = [*seconds.values(), retraining, retraining.cumsum(axis=1)]
        values = pd.concat([column.dropna() for own in drawn for _, column in own.items()])
        axes.set_title(upwards(axes, values, "seconds up to a round"), loc="left", pad=2)
        axes.set_xlabel("round")
        axes.grid(alpha=0.3)
        key(sheet, figure, axes, titles, RETRAINING)
        title = (
            f"{title_of(course)}: seconds of all rounds up to each, means over seeds; retraining in every round, or "
            "once after it; ring: from here on retraining each time would have been cheaper"
        )
        return finish(figure, sheet, f"rounds-seconds-{course.name}", title, _subject(course))


def _retraining(course: Course) -> pd.DataFrame:
    """Seeds x rounds: seconds of retraining, mean over what was timed beside the methods."""
    timed = pd.concat([course.retraining(method) for method in course.methods])
    return timed.groupby(level=0).mean()


def _draw(axes: Axes, own: pd.DataFrame, look: Look) -> None:
    values = [(float(str(round)), floats(column)) for round, column in own.items() if column.notna().any()]
    draw_means(axes, [round for round, _ in values], [column for _, column in values], look)
