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
from deepunlearn.analysis.ulira_results import TITLES, designs, facts

SHIFT = {"forgotten": -0.17, "retained": 0.17}
MARKS = {"forgotten": "o", "retained": "D"}
ATTACKS = {"full": "U-LiRA", **TITLES}
SIGNS = {"full": "o", "rmia": "s", "iam": "^", "ruli": "D"}
HEIGHT = 0.28  # inches of a method's line


def attack_figures(attacks: pd.DataFrame, sheet: Sheet) -> Iterator[Picture]:
    """attacks: as `Records.attacks`."""
    for name, lines in designs(attacks):
        yield _figure(name, lines[lines["variant"] == "full"], sheet)
        if lines["variant"].isin(TITLES).any():
            yield _all_attacks(name, lines[lines["question"] == "forgotten"], sheet)


def _figure(name: str, lines: pd.DataFrame, sheet: Sheet) -> Picture:
    titles = _titles(lines)
    look = looks(lines["method"])
    labels = {question: f"{question} samples" for question in MARKS}
    rows, columns = key_lines(sheet, labels.values())
    with canvas(sheet, 0.5 + HEIGHT * len(titles) + LINE * rows) as axes:
        for line in lines.to_dict("records"):
            height = titles.index(line["method_title"]) + SHIFT[line["question"]]
            style: Any = {"color": look[line["method"]].colour, "solid_capstyle": "butt"}
            spread = line["accuracy"] - line["accuracy_sd"], line["accuracy"] + line["accuracy_sd"]
            axes.plot(spread, [height] * 2, linewidth=0.8, alpha=0.6, **style)
            axes.plot([line["accuracy_low"], line["accuracy_high"]], [height] * 2, linewidth=3, alpha=0.8, **style)
            axes.plot(line["accuracy"], height, marker=MARKS[line["question"]], markersize=4, color=style["color"])
        axes.set_xlim(right=min(axes.get_xlim()[1], 1.005))  # standard deviations reach beyond what there is
        dashed(axes, 0.5, len(titles))
        rows_of(axes, titles)
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


def _titles(lines: pd.DataFrame) -> list[str]:
    """Of each method's result sets, in the order of figures."""
    place = {method: number for number, method in enumerate(titles_of(lines))}
    ordered = lines.loc[lines["method"].map(place).sort_values(kind="stable").index]
    return list(dict.fromkeys(map(str, ordered["method_title"])))


def _all_attacks(name: str, lines: pd.DataFrame, sheet: Sheet) -> Picture:
    """The AUC of every attack on what was forgotten."""
    titles = _titles(lines)
    look = looks(lines["method"])
    rows, columns = key_lines(sheet, ATTACKS.values())
    with canvas(sheet, 0.5 + 1.5 * HEIGHT * len(titles) + LINE * rows) as axes:
        for line in lines[lines["variant"].isin(ATTACKS)].to_dict("records"):
            place = list(ATTACKS).index(line["variant"]) - (len(ATTACKS) - 1) / 2
            height = titles.index(line["method_title"]) + 0.2 * place
            colour = look[line["method"]].colour
            axes.plot([line["auc_low"], line["auc_high"]], [height] * 2, linewidth=2, alpha=0.7, color=colour)
            axes.plot(line["auc"], height, marker=SIGNS[line["variant"]], markersize=3.5, color=colour)
        dashed(axes, 0.5, len(titles))
        rows_of(axes, titles)
        for variant, label in ATTACKS.items():
            axes.plot([], [], color=INK, marker=SIGNS[variant], linestyle="", markersize=4, label=label)
        axes.set_xlabel("AUC, forgotten samples (dashed: chance)")
        key_above(axes, rows, columns, 1.5 * HEIGHT)
        first = lines.iloc[0]
        title = (
            f"{first['dataset_title']}, {first['arch_title']}: attacks from one bank of models; lines are 95 % "
            "intervals over pairs of halvings"
        )
        return finish(axes.figure, sheet, f"{name}-attacks", title, Subject(caption_text(facts(lines)), name))
