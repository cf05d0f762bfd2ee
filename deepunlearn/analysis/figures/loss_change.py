"""The loss of each sample before and after unlearning, and after retraining: what the attack by comparison sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, NullLocator

from deepunlearn.analysis.figures.style import INK, Picture, Sheet, Subject, blank, finish, looks, plain
from deepunlearn.analysis.inference import Floats

BEFORE, AFTER = "original", ("retrained", "unlearned")
MODELS = ("original", "unlearned", "retrained")  # in the order of the page
PARTS = {"forget": "forget set", "test": "test images"}
MOST = 250  # samples of a part that are drawn
LEAST = 1e-4  # nats; smaller losses are drawn there
DOT = 1.04  # a dot is a line so short that it cannot be seen: a path of all dots is a tenth of as many marks
TICKS = [10.0**power for power in range(-4, 4)]


def loss_change(
    losses: Mapping[str, Mapping[str, Floats]], method: str, title: str, seed: int, *, sheet: Sheet, subject: Subject
) -> Picture:
    """losses: of the parts forget and test, by model (original, unlearned, retrained), [N] in nats.

    A part of more than 250 samples is drawn in part, by chance, the same for all methods.
    """
    drawn = {part: _some(losses[part]) for part in PARTS}
    highest = max(2.0, *(float(one.max()) for part in drawn.values() for one in part.values())) * 1.3
    colours = {"retrained": INK, "unlearned": looks([method])[method].colour}
    with blank(sheet, 0.62 * sheet.width) as figure:
        both: Sequence[Axes] = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, (part, name) in zip(both, PARTS.items(), strict=True):
            _square(axes, highest)
            axes.set_title(name)
            for model in AFTER:
                _dots(axes, drawn[part][BEFORE], drawn[part][model], colours[model])
        for model, label in zip(AFTER, ("retrained", title), strict=True):
            both[0].plot([], [], "o", markersize=3, color=colours[model], label=label)
        figure.legend(loc="outside upper center", ncols=2, frameon=False, handletextpad=0.1, columnspacing=1.0)
        figure.supxlabel("loss under the original, nats")
        figure.supylabel("loss afterwards, nats")
        told = (
            f"{subject.title}: losses under the original (x) against those under {title} and under the retrained model "
            f"(y), seed {seed}, a dot for each sample, logarithmic; on the line nothing has changed. Losses below "
            f"{plain(LEAST)} are drawn there"
        )
        counts = [f"{MOST} of {len(losses[part][BEFORE])} samples of the {name}" for part, name in PARTS.items()
                  if len(losses[part][BEFORE]) > MOST]  # fmt: skip
        told += f". Drawn are {' and '.join(counts)}" if counts else ""
        return finish(figure, sheet, f"loss-change-{method}-{subject.group}", told, subject)


def _some(losses: Mapping[str, Floats]) -> dict[str, Floats]:
    """At most `MOST` samples, drawn by chance; none below what is drawn."""
    count = len(losses[BEFORE])
    chosen = np.sort(np.random.default_rng(0).permutation(count)[:MOST])
    return {name: np.maximum(losses[name][chosen], LEAST) for name in MODELS}


def _square(axes: Axes, highest: float) -> None:
    """Both axes alike, with the line on which losses are equal."""
    axes.set_aspect("equal", adjustable="box")
    for axis, scale, limit in (
        (axes.xaxis, axes.set_xscale, axes.set_xlim),
        (axes.yaxis, axes.set_yscale, axes.set_ylim),
    ):
        scale("log")
        limit(LEAST / 1.5, highest)
        axis.set_major_locator(FixedLocator([tick for tick in TICKS if tick <= highest][::2]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: plain(value))
    axes.plot([LEAST, highest], [LEAST, highest], color=INK, linestyle="--", linewidth=0.6)


def _dots(axes: Axes, x: Floats, y: Floats, colour: str) -> None:
    ends = np.stack([np.stack([x, y], axis=1), np.stack([x * DOT, y], axis=1)], axis=1).reshape(-1, 2)
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=np.uint8), len(x))
    path = Path(ends, codes)
    path.should_simplify = False
    axes.add_patch(PathPatch(path, fill=False, edgecolor=colour, linewidth=2.4, capstyle="round", alpha=0.6))
