"""The paper's figure 1: inference accuracy of the per-sample attack, methods between original and retrained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from deepunlearn.analysis.figures.style import INK, Picture, canvas, finish, looks, rows_of, titles_of
from deepunlearn.analysis.ulira_results import designs

SHIFT = {"forgotten": -0.16, "retained": 0.16}


def attack_figures(attacks: pd.DataFrame) -> Iterator[Picture]:
    """attacks: as `Records.attacks`."""
    for name, lines in designs(attacks):
        yield _figure(name, lines[lines["variant"] == "full"])


def _figure(name: str, lines: pd.DataFrame) -> Picture:
    titles = titles_of(lines)
    look = looks(titles)
    with canvas(7.2, 1.2 + 0.42 * len(titles)) as axes:
        for line in lines.to_dict("records"):
            height = list(titles).index(line["method"]) + SHIFT[line["question"]]
            colour = look[line["method"]].colour
            style: Any = {"color": colour, "marker": "o" if line["question"] == "forgotten" else "D", "markersize": 5}
            axes.errorbar(
                line["accuracy"], height, xerr=line["accuracy_sd"], capsize=0, elinewidth=1, alpha=0.55, **style
            )
            axes.plot(
                [line["accuracy_low"], line["accuracy_high"]], [height, height], color=colour, linewidth=4, alpha=0.8
            )
        axes.set_xlim(right=min(axes.get_xlim()[1], 1.005))  # standard deviations reach beyond what there is
        axes.axvline(0.5, color=INK, linestyle="--", linewidth=1)
        rows_of(axes, list(titles.values()))
        for question, marker in (("forgotten", "o"), ("retained", "D")):
            axes.plot([], [], color=INK, marker=marker, linestyle="", markersize=5, label=f"{question} samples")
        axes.set_xlabel("inference accuracy per sample (dashed: chance)")
        axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        first = lines.iloc[0]
        title = (
            f"{first['dataset_title']}, {first['arch_title']}: U-LiRA; thin lines are standard deviations over "
            "samples, thick ones 95 % intervals of the mean over pairs of halvings"
        )
        return finish(axes, name, title, name)
