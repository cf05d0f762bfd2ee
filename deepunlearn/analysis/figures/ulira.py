"""The paper's figure 1: inference accuracy of the per-sample attack, methods between original and retrained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from deepunlearn.analysis.figures.style import (
    INK,
    LINE,
    Picture,
    Sheet,
    Subject,
    canvas,
    dashed,
    finish,
    key_above,
    key_lines,
    looks,
    rows_of,
    titles_of,
)
from deepunlearn.analysis.provenance import caption_text
from deepunlearn.analysis.ulira_results import designs, facts

SHIFT = {"forgotten": -0.17, "retained": 0.17}
MARKS = {"forgotten": "o", "retained": "D"}
HEIGHT = 0.28  # inches of a method's line


def attack_figures(attacks: pd.DataFrame, sheet: Sheet) -> Iterator[Picture]:
    """attacks: as `Records.attacks`."""
    for name, lines in designs(attacks):
        yield _figure(name, lines[lines["variant"] == "full"], sheet)


def _figure(name: str, lines: pd.DataFrame, sheet: Sheet) -> Picture:
    titles = titles_of(lines)
    look = looks(titles)
    labels = {question: f"{question} samples" for question in MARKS}
    rows, columns = key_lines(sheet, labels.values())
    with canvas(sheet, 0.5 + HEIGHT * len(titles) + LINE * rows) as axes:
        for line in lines.to_dict("records"):
            height = list(titles).index(line["method"]) + SHIFT[line["question"]]
            style: Any = {"color": look[line["method"]].colour, "solid_capstyle": "butt"}
            spread = line["accuracy"] - line["accuracy_sd"], line["accuracy"] + line["accuracy_sd"]
            axes.plot(spread, [height] * 2, linewidth=0.8, alpha=0.6, **style)
            axes.plot([line["accuracy_low"], line["accuracy_high"]], [height] * 2, linewidth=3, alpha=0.8, **style)
            axes.plot(line["accuracy"], height, marker=MARKS[line["question"]], markersize=4, color=style["color"])
        axes.set_xlim(right=min(axes.get_xlim()[1], 1.005))  # standard deviations reach beyond what there is
        dashed(axes, 0.5, len(titles))
        rows_of(axes, list(titles.values()))
        for question, label in labels.items():
            axes.plot([], [], color=INK, marker=MARKS[question], linestyle="", markersize=4, label=label)
        axes.set_xlabel("accuracy per sample (dashed: chance)")
        key_above(axes, rows, columns, HEIGHT)
        first = lines.iloc[0]
        title = (
            f"{first['dataset_title']}, {first['arch_title']}: U-LiRA; thin lines are standard deviations over "
            "samples, thick ones 95 % intervals of the mean over pairs of halvings"
        )
        return finish(axes.figure, sheet, name, title, Subject(caption_text(facts(lines)), name))
