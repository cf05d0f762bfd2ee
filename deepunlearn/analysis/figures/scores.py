"""Figures of one result set's models: retention against the attack, seconds, losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from deepunlearn.analysis.figures.style import INK, Look, Picture, canvas, finish, looks, rows_of, titles_of
from deepunlearn.metrics.histograms import LOSS_EDGES

RETDEV_TICKS = (0, 0.05, 0.1, 0.3, 1, 3)
LINEAR_TO = 0.1  # RetDev's axis: linear up to here, where good methods lie, logarithmic above
RIDGE = 0.85  # height of a histogram in lines of the list


def score_figures(rows: pd.DataFrame, losses: pd.DataFrame, name: str) -> Iterator[Picture]:
    """Of one result set with its references. rows: as `aggregate.result_set_rows`; losses: as `Records.losses`."""
    cell_title = f"{rows['dataset_title'].iloc[0]}, {rows['arch_title'].iloc[0]}"
    scored = rows[rows["usable"] & rows["RetDev"].notna() & rows["Indisc"].notna()]
    if len(scored):
        yield _clouds(scored, name, cell_title)
    if rows["seconds"].notna().any():
        yield _seconds(rows, name, cell_title)
    kept = rows.merge(losses, on="metrics_key")
    kept = kept[(kept["forget"].str.len() > 0) & (kept["test"].str.len() > 0)]
    if len(kept):
        yield _losses(kept, name, cell_title)


def _clouds(scored: pd.DataFrame, name: str, cell_title: str) -> Picture:
    titles = titles_of(scored)
    look = looks(titles)
    with canvas(7.2, 4.6) as axes:
        for method, title in titles.items():
            _cloud(axes, scored[scored["method"] == method], title, look[method])
        axes.set_xscale("symlog", linthresh=LINEAR_TO)
        highest = max(1.3 * scored["RetDev"].max(), LINEAR_TO)
        axes.set_xticks([tick for tick in RETDEV_TICKS if tick <= highest], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_xlim(-0.008, highest)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel(f"RetDev, best 0 (linear to {LINEAR_TO}, logarithmic above)")
        axes.set_ylabel("Indisc, best 1")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        title = f"{cell_title}: accuracy kept against the attack; small marks are seeds, large ones their means"
        return finish(axes, f"retdev-indisc-{name}", title, name)


def _cloud(axes: Axes, own: pd.DataFrame, title: str, look: Look) -> None:
    x, y = own["RetDev"].to_numpy(float), own["Indisc"].to_numpy(float)
    axes.scatter(x, y, s=14, alpha=0.4, linewidths=0, color=look.colour, marker=look.marker)
    axes.scatter(x.mean(), y.mean(), s=80, label=title, edgecolors="white", color=look.colour, marker=look.marker)


def _seconds(rows: pd.DataFrame, name: str, cell_title: str) -> Picture:
    rows = rows[rows["seconds"].notna()]
    titles = titles_of(rows)
    look = looks(titles)
    with canvas(7.2, 0.6 + 0.24 * len(titles)) as axes:
        means = [rows.loc[rows["method"] == method, "seconds"].mean() for method in titles]
        lowest = rows["seconds"].min() / 2
        axes.set_xscale("log")
        axes.barh(range(len(titles)), np.array(means) - lowest, left=lowest, height=0.62, alpha=0.75,
                  color=[look[method].colour for method in titles])  # fmt: skip
        heights = rows["method"].map({method: line for line, method in enumerate(titles)})
        axes.scatter(rows["seconds"], heights, s=6, color=INK, zorder=3, linewidths=0)
        for line, mean in enumerate(means):
            axes.text(1.01, line, f"{mean:.3g} s", transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
        rows_of(axes, list(titles.values()))
        axes.set_xlim(left=lowest)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("seconds (logarithmic); training for original and retrained, unlearning for methods")
        title = f"{cell_title}: wall time; bars are means, dots are seeds"
        return finish(axes, f"seconds-{name}", title, name)


def _losses(kept: pd.DataFrame, name: str, cell_title: str) -> Picture:
    titles = titles_of(kept)
    look = looks(titles)
    with canvas(7.2, 0.9 + 0.36 * len(titles)) as axes:
        for line, method in enumerate(titles):
            own = kept[kept["method"] == method]
            forget, test = (np.sum(own[part].to_list(), axis=0, dtype=float) for part in ("forget", "test"))
            scale = RIDGE / max((forget / forget.sum()).max(), (test / test.sum()).max())
            colour = look[method].colour
            _ridge(axes, line, test / test.sum() * scale, color=INK, alpha=0.22, linewidth=0)
            _ridge(axes, line, forget / forget.sum() * scale, facecolor="none", edgecolor=colour, linewidth=1.3)
        rows_of(axes, list(titles.values()))
        axes.set_ylim(len(titles) - 0.5, -1.0)
        axes.set_xscale("log")
        axes.set_xlim(LOSS_EDGES[0], LOSS_EDGES[-1])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("cross-entropy of a sample, nats (logarithmic; the ends hold what lies beyond)")
        title = (
            f"{cell_title}: losses of the forget set (line) and of test images (shade); "
            "where they agree the attack fails"
        )
        return finish(axes, f"losses-{name}", title, name)


def _ridge(axes: Axes, line: int, heights: np.ndarray, **style: Any) -> None:
    top = line + 0.4
    axes.stairs(top - heights, LOSS_EDGES, baseline=top, fill=True, **style)
