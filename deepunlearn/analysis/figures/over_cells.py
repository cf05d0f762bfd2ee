"""Figures over all cells: groups of methods x cells, mean places, and RTE."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from deepunlearn.analysis.figures.style import (
    INK,
    KEY,
    LETTER,
    LINE,
    MARKERS,
    STATES,
    Picture,
    Sheet,
    Subject,
    canvas,
    dashed,
    finish,
    key_above,
    key_lines,
    logarithmic,
    looks,
    rows_of,
    titles_of,
)
from deepunlearn.analysis.inference import Floats
from deepunlearn.analysis.provenance import caption_text, describe
from deepunlearn.analysis.rank import COUNTED, UNDEFINED
from deepunlearn.analysis.ranking import Ranking
from deepunlearn.analysis.ranking_tables import RtePart, rte_parts

SHADES = LinearSegmentedColormap.from_list("groups", ("#08519c", "#6baed6", "#d6e6f4", "#ffffff"))  # G1, G2, G3, F
LIGHT, DARK = "#ffffff", "#1a1c1d"  # letters on a cell, in either theme of the page
MAIN = "all cells"
ROOM = 12  # letters: of wide cells, which show the mean too
CELL_LETTERS = 14  # of a line of a cell's title


def cell_figures(ranked: list[Ranking], frame: pd.DataFrame, cases: pd.DataFrame, sheet: Sheet) -> Iterator[Picture]:
    """ranked: as `ranking.rankings`; frame, cases: as in `Records`."""
    for ranking in ranked:
        if ranking.scope == MAIN and ranking.titles:
            yield from (_heatmap(ranking, metric, sheet) for metric in ranking.groups)
            yield from (_places(ranking, metric, sheet) for metric, one in ranking.judged.items() if one.difference)
    yield from (_rte(part, sheet) for part in rte_parts(frame, cases))


def _heatmap(ranking: Ranking, metric: str, sheet: Sheet) -> Picture:
    methods = by_rank(ranking, metric)
    groups = ranking.groups[metric].loc[methods]
    shades = shades_of(ranking, metric, methods)
    names = [str(name) for name in groups]
    cells = [textwrap.wrap(name, CELL_LETTERS) for name in names]
    width = (sheet.width * 72 - LETTER * max(map(len, ranking.titles.values()))) / len(cells)  # points
    upright = width > LETTER * max(len(line) for lines in cells for line in lines)
    cells = cells if upright else _on_lines(names, max(1, int(width / (LINE * 72))))
    longest = max(len(line) for lines in cells for line in lines)
    tall = LINE * max(map(len, cells)) if upright else LETTER * longest / 72
    with canvas(sheet, 0.1 + LINE * len(methods) + tall) as axes:
        axes.pcolormesh(shades, cmap=SHADES, vmin=0, vmax=len(COUNTED) - 1, edgecolors="white", linewidth=0.6)
        texts = _cell_texts(ranking, metric, wide=width > LETTER * ROOM)
        for (line, column), shade in np.ndenumerate(shades):
            text = str(texts.loc[methods[line]].iloc[column])
            colour = LIGHT if shade < 0.8 else DARK
            axes.text(column + 0.5, line + 0.5, text, ha="center", va="center_baseline", color=colour)
        axes.set_yticks(np.arange(len(methods)) + 0.5, [ranking.titles[method] for method in methods])
        axes.set_ylim(len(methods), 0)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", length=0)
        axes.spines[:].set_visible(False)
        axes.set_xticks(
            np.arange(len(cells)) + 0.5, ["\n".join(lines) for lines in cells], rotation=0 if upright else 90
        )
        title = (
            f"{metric}: group of each method in each cell, in order of ranks; G1 (dark) is best, F failed, – undefined "
            "(white). "
            f"The shade is that of the mean group over bootstraps, where there are any{ranking.kind}"
        )
        name = ranking.name.replace("ranking", f"groups-{metric.lower()}", 1)
        return finish(axes.figure, sheet, name, title, _subject(ranking))


def _on_lines(names: list[str], most: int) -> list[list[str]]:
    """Each name on at most so many lines, which are as short as that allows."""
    for letters in range(CELL_LETTERS, max(map(len, names))):
        lines = [textwrap.wrap(name, letters) for name in names]
        if max(map(len, lines)) <= most:
            return lines
    return [[name] for name in names]


def _cell_texts(ranking: Ranking, metric: str, wide: bool) -> pd.DataFrame:
    """Methods x cells: the group, and the mean where a cell is wide; in others a dash for "undefined"."""
    groups, means = ranking.groups[metric], ranking.scores[metric].means()
    if not wide:
        return groups.replace(UNDEFINED, "–")
    told = means.map(lambda mean: "" if pd.isna(mean) else f"  {mean:.3f}")
    return groups + told.reindex(index=groups.index, columns=groups.columns).fillna("")


def by_rank(ranking: Ranking, metric: str) -> list[str]:
    """The methods, best rank first; of equal ranks the better mean first, then those without a rank."""
    ranks = ranking.ranks[metric].reindex(list(ranking.titles)).astype(float)
    means = ranking.scores[metric].means().mean(axis=1, skipna=False).reindex(ranks.index)
    signed = means if ranking.scores[metric].lower_is_better else -means
    order = pd.DataFrame({"rank": ranks, "mean": signed, "title": pd.Series(ranking.titles)})
    return [str(method) for method in order.sort_values(["rank", "mean", "title"]).index]


def shades_of(ranking: Ranking, metric: str, methods: list[str]) -> Floats:
    """[methods, cells]: 0 for G1 to 3 for F, averaged over bootstraps where there are any; other states are white."""
    groups, bootstrap = ranking.groups[metric], ranking.judged[metric].bootstrap
    shades = np.full((len(methods), groups.shape[1]), float(len(COUNTED) - 1))
    for line, method in enumerate(methods):
        for column, cell in enumerate(map(str, groups)):
            group = groups.loc[method, cell]
            if bootstrap is not None and cell in bootstrap.shares and method in bootstrap.interval.index:
                shares = [bootstrap.share(name, method, cell) for name in COUNTED]
                shades[line, column] = np.dot(shares, range(len(COUNTED)))
            elif group in COUNTED:
                shades[line, column] = COUNTED.index(group)
    return shades


def _places(ranking: Ranking, metric: str, sheet: Sheet) -> Picture:
    """Mean places over cells (Demsar 2006), best first; shaded: within the critical difference of the first."""
    found = ranking.judged[metric].difference
    assert found is not None
    places = found.places.sort_values(kind="stable")
    look = looks([str(name) for name in places.index])
    with canvas(sheet, 0.5 + LINE * len(places)) as axes:
        axes.axvspan(places.iloc[0], places.iloc[0] + found.difference, color=INK, alpha=0.08, linewidth=0)
        for line, (method, place) in enumerate(places.items()):
            style = look[str(method)]
            axes.plot(place, line, color=style.colour, marker=style.marker, markersize=5)
        rows_of(axes, [ranking.titles[str(method)] for method in places.index])
        axes.set_xlim(0.5, len(places) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel(f"mean place over {len(ranking.ranked[metric].values)} cells, best 1")
        told = (
            "shaded: within the critical difference of the best (Nemenyi)"
            if found.decides
            else "no two can be told apart"
        )
        title = f"{metric}: mean places; {told}{ranking.kind}"
        name = ranking.name.replace("ranking", f"places-{metric.lower()}", 1)
        return finish(axes.figure, sheet, name, title, _subject(ranking))


def _subject(ranking: Ranking) -> Subject:
    return Subject(f"{ranking.trust} {caption_text(describe(ranking.rows))}")


def _rte(part: RtePart, sheet: Sheet) -> Picture:
    """A mark for each result set; a bar at the mean over several datasets, where each has one and the method ran."""
    order = [str(method) for method in part.means.mean(axis=1).sort_values(ascending=False, kind="stable").index]
    titles, short, means = titles_of(part.rows), part.short, part.means.loc[order].to_numpy(float)
    look = looks(titles)
    labels = [textwrap.fill(str(name), int(KEY * sheet.letters)) for name in part.means]
    lines, columns = key_lines(sheet, labels)
    with canvas(sheet, 0.5 + LINE * (len(order) + lines)) as axes:
        for number, position in enumerate(labels):
            axes.scatter(means[:, number], range(len(order)), s=14, facecolors="none", edgecolors=INK, linewidths=0.7,
                         marker=MARKERS[number % len(MARKERS)], label=position, zorder=3)  # fmt: skip
        if means.shape[1] > 1:
            style: Any = {"marker": "|", "linewidths": 2.2, "color": [look[method].colour for method in order]}
            axes.scatter(part.average.loc[order], range(len(order)), s=60, **style)
        rows_of(axes, [f"{titles[method]}: {short[method]}" if method in short else titles[method] for method in order])
        logarithmic(axes, float(np.nanmin(means, initial=1)) / 1.3, float(np.nanmax(means, initial=1)) * 1.3)
        dashed(axes, 1, len(order))
        axes.set_xlabel("RTE, logarithmic (dashed: retraining)")
        key_above(axes, lines, columns)
        marks = "bars are means over datasets, marks are datasets" if part.comparable else "marks are result sets"
        told = f"; of usable models, {STATES}" if short.keys() & titles.keys() else ""
        title = f"RTE on {part.title}, times faster than retraining; {marks}{told}"
        return finish(axes.figure, sheet, part.name, title, Subject(caption_text(describe(part.rows))))
