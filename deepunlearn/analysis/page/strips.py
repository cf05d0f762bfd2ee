"""Dot and whisker on one line: the mean of a measure, its 95 % interval where it can be told, and every seed."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from deepunlearn.analysis.page.scales import Scale

WIDTH, HEIGHT, MARGIN = 120, 22, 6  # pixels
MIDDLE = HEIGHT / 2
WHISKER = 3  # half the height of its ends
_BETWEEN = ' class="between"'  # names that phones have no room for


def strip(
    scale: Scale, seeds: Sequence[float], mean: float | None, interval: tuple[float, float] | None, hollow: bool
) -> Markup:
    """The drawing as an SVG element, beside the number that it shows; hollow: of a method that failed."""
    parts = [grid(scale), ticks(scale, seeds)]
    if interval is not None:
        low, high = (across(scale, end) for end in interval)
        ends = "".join(f"M{x} {MIDDLE - WHISKER:g}v{2 * WHISKER}" for x in (low, high))
        parts.append(f'<path class="whisker" d="M{low} {MIDDLE:g}H{high}{ends}"/>')
    if mean is not None:
        shape = "mark hollow" if hollow else "mark"
        parts.append(f'<circle class="{shape}" cx="{across(scale, mean)}" cy="{MIDDLE:g}" r="4"/>')
    return Markup(f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{"".join(parts)}</svg>')


def across(scale: Scale, value: float) -> str:
    """The place of `value` in pixels."""
    return f"{MARGIN + (WIDTH - 2 * MARGIN) * scale.at(value):.1f}".removesuffix(".0")


def grid(scale: Scale) -> str:
    return f'<path class="grid" d="{"".join(f"M{across(scale, tick)} 0v{HEIGHT}" for tick in scale.ticks)}"/>'


def ticks(scale: Scale, seeds: Sequence[float]) -> str:
    """A short line for every seed."""
    lines = "".join(f"M{across(scale, value)} {MIDDLE - 5:g}v10" for value in seeds)
    return f'<path class="seed" d="{lines}"/>' if lines else ""


def axis(scale: Scale) -> Markup:
    """The names of the ticks, for the head of a column of strips."""
    names = "".join(
        f'<text x="{across(scale, tick)}" y="11" text-anchor="{_anchor(scale, tick)}"'
        f"{'' if tick in (scale.ticks[0], scale.ticks[-1]) else _BETWEEN}>{tick:g}</text>"
        for tick in scale.ticks
    )
    return Markup(f'<svg class="strip axis" viewBox="0 0 {WIDTH} 14" aria-hidden="true">{names}</svg>')


def _anchor(scale: Scale, tick: float) -> str:
    """Names at the ends stay inside."""
    place = scale.at(tick)
    return "start" if place < 0.03 else "end" if place > 0.97 else "middle"
