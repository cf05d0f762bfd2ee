"""The trade-off of one result set: its two metrics against each other, a mark per method with its name beside it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from deepunlearn.analysis.aggregate import FAILED
from deepunlearn.analysis.attack_noise import floors
from deepunlearn.analysis.page.result_sets import ResultSet
from deepunlearn.analysis.page.scales import Scale
from deepunlearn.analysis.rows import REFERENCES

WIDTH, HEIGHT = 390, 420  # pixels, so that its text is legible on a phone of that width
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 26, 44  # around the axes
FONT = 12  # height of a label
LETTER = 0.72 * FONT  # width of a wide letter
GAP = 7  # between a mark and its label
RADII = (GAP, 14, 22, 32, 44, 58, 74, 92)
TURNS = (0, 6, 3, 9, 1, 11, 5, 7, 2, 10, 4, 8)  # of a clock, from 3: right, left, below, above, then between
DIRECTIONS = [(math.cos(turn * math.pi / 6), math.sin(turn * math.pi / 6)) for turn in TURNS]


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Area in common."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0.0


FRAME = Box(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)


@dataclass(frozen=True)
class Mark:
    """A method at x, y in pixels. label_x, label_y: left end and middle of its label; line: whether one leads there."""

    method: str
    title: str
    tip: str
    x: float
    y: float
    kind: str
    label_x: float = 0.0
    label_y: float = 0.0
    line: bool = False


@dataclass(frozen=True)
class TradeOff:
    """x_ticks, y_ticks: place and name; band: top and bottom of where models lie that nothing tells apart.

    There is no band where fewer samples are forgotten than our attack needs, and methods of others have a value.
    """

    marks: list[Mark]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    band: tuple[float, float] | None
    x_title: str
    y_title: str
    frame: Box = FRAME
    width: int = WIDTH
    height: int = HEIGHT


def trade_off(own: ResultSet, scales: Mapping[str, Scale]) -> TradeOff | None:
    """None where no method has both values. scales: as of the summary."""
    x, y = (scales[metric] for metric in own.metrics)
    marks = list(_marks(own, x, y))
    if all(mark.kind == "reference" for mark in marks):
        return None
    floor = floors(own.rows).get("Indisc_floor_end")
    return TradeOff(
        marks=labelled(marks),
        x_ticks=[(_x(x, tick), f"{tick:g}") for tick in x.ticks],
        y_ticks=[(_y(y, tick), f"{tick:g}") for tick in y.ticks],
        band=None if floor is None else (_y(y, 1.0), _y(y, max(floor, y.low))),
        x_title=", ".join([own.metrics[0], *([x.note] if x.note else [])]),
        y_title=own.metrics[1],
    )


def _x(scale: Scale, value: float) -> float:
    return round(FRAME.left + scale.at(value) * (FRAME.right - FRAME.left), 1)


def _y(scale: Scale, value: float) -> float:
    return round(FRAME.bottom - scale.at(value) * (FRAME.bottom - FRAME.top), 1)


def _marks(own: ResultSet, x: Scale, y: Scale) -> Iterator[Mark]:
    for line in own.lines.to_dict("records"):
        first, second = (float(line[f"{metric}_mean"]) for metric in own.metrics)
        if not (math.isnan(first) or math.isnan(second)):
            kind = "reference" if line["method"] in REFERENCES else "failed" if line["status"] == FAILED else "method"
            tip = f"{line['method_title']}: {own.metrics[0]} {first:.3f}, {own.metrics[1]} {second:.3f}"
            tip += f"; failed, {line['usable']} usable" if kind == "failed" else ""
            yield Mark(line["method"], line["method_title"], tip, _x(x, first), _y(y, second), kind)


def labelled(marks: Sequence[Mark]) -> list[Mark]:
    """The marks with places for their labels: beside the mark where it is free, further off with a line elsewhere."""
    taken = [Box(mark.x - 5, mark.y - 5, mark.x + 5, mark.y + 5) for mark in marks]
    placed = []
    for mark in sorted(marks, key=lambda one: (one.kind == "reference", -one.y, one.x)):
        distance, box = min(
            _candidates(mark), key=lambda one: _cost(one[0], one[1], taken) + _crossed(mark, one[1], taken)
        )
        taken.append(box)
        middle = round((box.top + box.bottom) / 2, 1)
        placed.append(Mark(mark.method, mark.title, mark.tip, mark.x, mark.y, mark.kind, round(box.left, 1), middle,
                           distance > GAP))  # fmt: skip
    return placed


def label_box(mark: Mark) -> Box:
    """Where its label stands."""
    return Box(mark.label_x, mark.label_y - FONT / 2, mark.label_x + len(mark.title) * LETTER, mark.label_y + FONT / 2)


def _candidates(mark: Mark) -> Iterator[tuple[float, Box]]:
    width = len(mark.title) * LETTER
    for radius, (right, down) in itertools.product(RADII, DIRECTIONS):
        x, y = mark.x + radius * right, mark.y + radius * down
        left = x if right > 0.1 else x - width if right < -0.1 else x - width / 2
        shift = (FONT / 2) * (1 if down > 0.9 else -1 if down < -0.9 else 0)
        yield radius, Box(left, y + shift - FONT / 2, left + width, y + shift + FONT / 2)


def _crossed(mark: Mark, box: Box, taken: Sequence[Box]) -> float:
    """What a line from the mark to its label would run through."""
    x, y = min(max(mark.x, box.left), box.right), (box.top + box.bottom) / 2
    shares = [step / 10 for step in range(2, 10)]
    points = [(mark.x + share * (x - mark.x), mark.y + share * (y - mark.y)) for share in shares]
    others = [one for one in taken if not one.left <= mark.x <= one.right or not one.top <= mark.y <= one.bottom]
    return 12 * sum(one.left < x < one.right and one.top < y < one.bottom for x, y in points for one in others)


def _cost(radius: float, box: Box, taken: Sequence[Box]) -> float:
    """Nearer is better; what is covered or outside counts far more."""
    area = (box.right - box.left) * (box.bottom - box.top)
    outside = area - box.overlap(Box(FRAME.left + 2, FRAME.top + 1, WIDTH - 2, FRAME.bottom))
    return radius + 100 * (sum(box.overlap(other) for other in taken) + outside)
