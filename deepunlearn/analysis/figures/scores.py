"""Figures of one result set's models: retention against the attack, seconds, losses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from deepunlearn.analysis.figures.style import (
    INK,
    Look,
    Picture,
    canvas,
    finish,
    in_order,
    looks,
    rows_of,
    titles_of,
)
from deepunlearn.analysis.rows import REFERENCES
from deepunlearn.metrics.histograms import LOSS_EDGES

RETDEV_TICKS = (0, 0.05, 0.1, 0.3)  # then 1, 3, 10, 30 ... as far as values reach
LINEAR_TO = 0.1  # RetDev's axis: linear up to here, where good methods lie, logarithmic above
RIDGE = 0.85  # height of a histogram in lines of the list


def score_figures(rows: pd.DataFrame, losses: pd.DataFrame, name: str) -> Iterator[Picture]:
    """Of one result set with its references. rows: as `aggregate.result_set_rows`; losses: as `Records.losses`."""
    cell_title = f"{rows['dataset_title'].iloc[0]}, {rows['arch_title'].iloc[0]}"
    failed = failures(rows)
    scored = rows[rows["usable"] & rows["RetDev"].notna() & rows["Indisc"].notna()]
    if len(scored):
        yield _clouds(scored, failed, name, cell_title)
    timed = rows[rows["usable"] & rows["seconds"].notna()]
    if len(timed):
        yield _seconds(timed, failed, name, cell_title)
    kept = rows.merge(losses, on="metrics_key")
    kept = kept[(kept["forget"].str.len() > 0) & (kept["test"].str.len() > 0)]
    if len(kept):
        yield _losses(kept, name, cell_title)


def failures(rows: pd.DataFrame) -> dict[str, str]:
    """Methods that failed in a result set -> their label, with how many models are usable: "GA: F, 1 of 2"."""
    seeds = rows["seed"].nunique()
    usable = rows.groupby("method")["usable"].sum()
    titles = titles_of(rows[~rows["method"].isin(REFERENCES)])
    return {name: f"{title}: F, {usable[name]} of {seeds}" for name, title in titles.items() if usable[name] < seeds}


def _clouds(scored: pd.DataFrame, failed: dict[str, str], name: str, cell_title: str) -> Picture:
    titles = titles_of(scored)
    look = looks([*titles, *failed])
    with canvas(7.2, 4.6) as axes:
        for method, title in titles.items():
            own = scored[scored["method"] == method]
            _cloud(axes, own, failed.get(method, title), look[method], method in failed)
        for method in failed.keys() - titles.keys():  # no model to draw, but in the key
            axes.scatter([], [], s=80, label=failed[method], marker=look[method].marker, **_hollow(look[method]))
        axes.set_xscale("symlog", linthresh=LINEAR_TO)
        highest = max(1.3 * scored["RetDev"].max(), LINEAR_TO)
        axes.set_xticks(_ticks(highest), minor=False)
        axes.set_xticks([], minor=True)
        axes.set_xlim(-0.008, highest)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel(f"RetDev, best 0 (linear to {LINEAR_TO}, logarithmic above)")
        axes.set_ylabel("Indisc, best 1")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        title = (
            f"{cell_title}: accuracy kept against the attack; small marks are seeds, large ones means, hollow: failed"
        )
        return finish(axes, f"retdev-indisc-{name}", title, name)


def _ticks(highest: float) -> list[float]:
    decades = range(max(1, math.ceil(math.log10(highest)) + 1))
    above = [lead * 10.0**power for power in decades for lead in (1, 3)]
    return [tick for tick in (*RETDEV_TICKS, *above) if tick <= highest]


def _hollow(look: Look) -> dict[str, Any]:
    return {"facecolors": "none", "edgecolors": look.colour, "linewidths": 1.2}


def _cloud(axes: Axes, own: pd.DataFrame, title: str, look: Look, hollow: bool) -> None:
    x, y = own["RetDev"].to_numpy(float), own["Indisc"].to_numpy(float)
    axes.scatter(x, y, s=14, alpha=0.4, linewidths=0, color=look.colour, marker=look.marker)
    style: dict[str, Any] = _hollow(look) if hollow else {"edgecolors": "white", "color": look.colour}
    axes.scatter(x.mean(), y.mean(), s=80, label=title, marker=look.marker, **style)


def _seconds(rows: pd.DataFrame, failed: dict[str, str], name: str, cell_title: str) -> Picture:
    """rows: of usable models; methods that failed have a line with the count, and the dots of what is usable."""
    known = {**titles_of(rows), **failed}
    titles = {method: known[method] for method in in_order(known)}
    look = looks(titles)
    with canvas(7.2, 0.6 + 0.24 * len(titles)) as axes:
        means = rows[~rows["method"].isin(failed)].groupby("method")["seconds"].mean().reindex(list(titles)).tolist()
        lowest = rows["seconds"].min() / 2
        axes.set_xscale("log")
        axes.barh(range(len(titles)), np.array(means) - lowest, left=lowest, height=0.62, alpha=0.75,
                  color=[look[method].colour for method in titles])  # fmt: skip
        heights = rows["method"].map({method: line for line, method in enumerate(titles)})
        axes.scatter(rows["seconds"], heights, s=6, color=INK, zorder=3, linewidths=0)
        for line, mean in enumerate(means):
            told = "" if math.isnan(mean) else f"{mean:.3g} s"
            axes.text(1.01, line, told, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
        rows_of(axes, list(titles.values()))
        axes.set_xlim(left=lowest)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("seconds (logarithmic); training for original and retrained, unlearning for methods")
        title = f"{cell_title}: wall time; bars are means, dots are seeds (of usable models); F: failed"
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
