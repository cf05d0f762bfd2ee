"""Figures over all cells: groups of methods x cells, and RTE."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap

from deepunlearn.analysis.figures.style import (
    INK,
    MARKERS,
    Picture,
    canvas,
    finish,
    in_order,
    looks,
    rows_of,
    titles_of,
)
from deepunlearn.analysis.rank import COUNTED, NOT_APPLICABLE, UNDEFINED
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.analysis.ranking_tables import RtePart, rte_parts

DRAWN = (*COUNTED, NOT_APPLICABLE, UNDEFINED)
GROUP_COLOURS = ("#2c7fb8", "#7fcdbb", "#edf8b1", "#d9d9d9", "#ffffff", "#ffffff")  # dark to light, grey: failed
GROUP_INK = ("#ffffff", "#1a1b1d", "#1a1c1d", "#1a1c1e", "#1a1c1f", "#1a1c1f")  # on those, in either theme of the page
MAIN = "all cells"


def cell_figures(ranked: list[Ranking], frame: pd.DataFrame, cases: pd.DataFrame) -> Iterator[Picture]:
    """ranked: as `ranking.rankings`; frame, cases: as in `Records`."""
    for ranking in ranked:
        if ranking.scope == MAIN and ranking.titles:
            yield from (_heatmap(ranking, metric) for metric in ranking.groups)
            yield from (_places(ranking, metric) for metric, one in ranking.judged.items() if one.difference)
    yield from map(_rte, rte_parts(frame, cases))


def _heatmap(ranking: Ranking, metric: str) -> Picture:
    methods = in_order(ranking.titles)
    groups = ranking.groups[metric].loc[methods]
    numbers = groups.replace({name: position for position, name in enumerate(DRAWN)}).to_numpy(int)
    with canvas(max(4.5, 2.2 + 0.75 * groups.shape[1]), 1.6 + 0.24 * len(methods)) as axes:
        axes.imshow(numbers, cmap=ListedColormap(GROUP_COLOURS), vmin=-0.5, vmax=len(DRAWN) - 0.5, aspect="auto")
        for (line, column), number in np.ndenumerate(numbers):
            axes.text(column, line, DRAWN[number], ha="center", va="center", fontsize=7.5, color=GROUP_INK[number])
        rows_of(axes, [ranking.titles[method] for method in methods])
        axes.grid(visible=False)
        axes.set_xticks(
            range(groups.shape[1]), [str(name).replace(" ", "\n", 1) for name in groups], fontsize=7.5, rotation=30
        )
        title = f"{metric}: group of each method in each cell, G1 best, F failed{ranking.kind}"
        return finish(axes, ranking.name.replace("ranking", f"groups-{metric.lower()}", 1), title)


def _places(ranking: Ranking, metric: str) -> Picture:
    """Mean places over cells (Demsar 2006), best first; shaded: within the critical difference of the first."""
    found = ranking.judged[metric].difference
    assert found is not None
    places = found.places.sort_values(kind="stable")
    look = looks([str(name) for name in places.index])
    with canvas(7.2, 0.9 + 0.24 * len(places)) as axes:
        axes.axvspan(places.iloc[0], places.iloc[0] + found.difference, color=INK, alpha=0.08, linewidth=0)
        for line, (method, place) in enumerate(places.items()):
            style = look[str(method)]
            axes.plot(place, line, color=style.colour, marker=style.marker, markersize=7)
        rows_of(axes, [ranking.titles[str(method)] for method in places.index])
        axes.set_xlim(0.5, len(places) + 0.5)
        axes.set_xlabel(f"mean place over {len(ranking.ranked[metric].values)} cells, best 1")
        told = (
            "shaded: within the critical difference of the best (Nemenyi)"
            if found.decides
            else "no two can be told apart"
        )
        title = f"{metric}: mean places; {told}{ranking.kind}"
        return finish(axes, ranking.name.replace("ranking", f"places-{metric.lower()}", 1), title)


def _rte(subset: RtePart) -> Picture:
    """A mark for each result set; a bar for the mean over datasets, where each has one and the method ran on all."""
    titles = titles_of(subset.rows)
    look = looks(titles)
    with canvas(7.2, 0.9 + 0.24 * len(titles)) as axes:
        colours = [look[name].colour for name in titles]
        axes.barh(range(len(titles)), subset.average.loc[list(titles)], height=0.62, alpha=0.75, color=colours)
        for number, position in enumerate(subset.means):
            marker = MARKERS[number % len(MARKERS)]
            values = subset.means[position].loc[list(titles)]
            axes.scatter(values, range(len(titles)), s=16, marker=marker, facecolors="none", edgecolors=INK,
                         linewidths=0.8, label=str(position), zorder=3)  # fmt: skip
        rows_of(axes, list(titles.values()))
        axes.axvline(1, color=INK, linestyle="--", linewidth=1)
        axes.set_xlabel("RTE: times faster than retraining (dashed: retraining itself)")
        axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        bars = "bars are means over datasets, marks are datasets" if subset.comparable else "marks are result sets"
        return finish(axes, subset.name, f"RTE on {subset.title}: {bars}")
