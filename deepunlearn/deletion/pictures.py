"""What was measured before and after a deletion, drawn as an SVG of two lines on one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from deepunlearn.deletion.report import Estimate, Figure, Limits

WIDTH, LINE, LEFT, RIGHT = 420, 26, 58, 14  # pixels of the drawing's own measure
MOST_TICKS = 5
STEPS = (1, 2, 5)  # times a power of ten: what lies between two ticks
CHANCE = 0.5  # of an attack's AUC
SLACK = 1e-9  # of a step: rounding is no reason for another tick
SHARES = ("accuracy", "share", "auc")  # kinds that lie in [0, 1]


def picture(figure: Figure, limits: Limits) -> Markup:
    """Both estimates with their intervals; empty for a figure with fewer than two, which has nothing to compare.

    limits: of an attack the band around chance is drawn that its interval has to reach.
    """
    if figure.before is None or figure.after is None:
        return Markup("")
    band = (CHANCE - limits.attack_auc, CHANCE + limits.attack_auc) if figure.kind == "auc" else None
    axis = Axis(_known(figure, band), bounded=figure.kind in SHARES)
    parts = [
        _band(axis, band) if band else "",
        _grid(axis),
        *(_line(axis, *one) for one in ((0, "before", figure.before, "hollow"), (1, "after", figure.after, ""))),
        _names(axis),
    ]
    told = f"{figure.title}: before {figure.before.value:.4g}, after {figure.after.value:.4g}"
    head = f'<svg class="pair" viewBox="0 0 {WIDTH} {3 * LINE}" role="img" aria-label="{escape(told)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")


class Axis:
    """A linear axis that holds all of `values` and begins and ends at a tick; bounded: within [0, 1]."""

    def __init__(self, values: Sequence[float], *, bounded: bool) -> None:
        low, high = min(values), max(values)
        step = _step(low, high)
        first, last = math.floor(low / step + SLACK), math.ceil(high / step - SLACK)
        if first == last:
            first, last = first - 1, last + 1
        ticks = [round(number * step, 10) for number in range(first, last + 1)]
        self.ticks = [tick for tick in ticks if not bounded or 0 <= tick <= 1]
        self.low, self.high = min(self.ticks[0], low), max(self.ticks[-1], high)

    def at(self, value: float) -> str:
        """The place of `value` in pixels."""
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * (value - self.low) / (self.high - self.low):.1f}"


def _known(figure: Figure, band: tuple[float, float] | None) -> list[float]:
    ends = [end for one in (figure.before, figure.after) if one for end in (one.low, one.value, one.high)]
    return [*(end for end in ends if end is not None), *(band or ()), *([0.0] if figure.kind == "steps" else [])]


def _step(low: float, high: float) -> float:
    """The finest distance of ticks that are at most `MOST_TICKS`."""
    wide = max(high - low, 0.01 * max(abs(high), 1.0))
    power = 10.0 ** math.floor(math.log10(wide / MOST_TICKS))
    candidates = [factor * power * ten for ten in (1, 10) for factor in STEPS]
    return next(step for step in candidates if wide / step <= MOST_TICKS - 1)


def _line(axis: Axis, number: int, name: str, estimate: Estimate, shape: str) -> str:
    """One of the two models: its name, interval and value; `hollow` of the model as it was."""
    middle = LINE * number + LINE / 2
    parts = [f'<text x="0" y="{middle + 4:g}">{name}</text>']
    if estimate.low is not None and estimate.high is not None:
        low, high = axis.at(estimate.low), axis.at(estimate.high)
        ends = "".join(f"M{x} {middle - 4:g}v8" for x in (low, high))
        parts.append(f'<path class="whisker" d="M{low} {middle:g}H{high}{ends}"/>')
    parts.append(f'<circle class="mark {shape}" cx="{axis.at(estimate.value)}" cy="{middle:g}" r="5"/>')
    return "".join(parts)


def _band(axis: Axis, band: tuple[float, float]) -> str:
    low, high = (axis.at(end) for end in band)
    chance = f'<path class="chance" d="M{axis.at(CHANCE)} 0v{2 * LINE}"/>'
    return f'<path class="band" d="M{low} 0V{2 * LINE}H{high}V0Z"/>{chance}'


def _grid(axis: Axis) -> str:
    return f'<path class="grid" d="{"".join(f"M{axis.at(tick)} 0v{2 * LINE}" for tick in axis.ticks)}"/>'


def _names(axis: Axis) -> str:
    return "".join(
        f'<text x="{axis.at(tick)}" y="{2 * LINE + 16}" text-anchor="middle">{tick:g}</text>' for tick in axis.ticks
    )
