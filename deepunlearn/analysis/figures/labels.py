"""Where labels go beside the marks of a scatter plot: near their marks, off other labels, marks and lines.

adjustText and textalloc left labels on each other and on marks where a dozen methods lie together, or far from marks
that have room beside them; so each label here has a few hundred places, each place a price, and the sum is made small.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deepunlearn.analysis.inference import Floats

ANGLES = np.arange(12) * (2 * np.pi / 12)
DISTANCES = (1.0, 5.0, 10.0, 17.0, 26.0, 38.0, 54.0, 72.0)  # points, from a mark's edge to its label
ASLANT = 2.0  # points that a place above or below a mark counts as further away than one at its side
GAP = 0.8  # points, at least, between a label and what it must not touch
SAMPLES = 8  # points of a line that are looked at
ROUNDS = 8
OUTSIDE, ON_LABEL, ON_MARK = 4000.0, 1500.0, 900.0  # prices, in points of distance: what must not be,
LINE_ON_LABEL, CROSSING, LINE_ON_MARK, ON_DOT = 150.0, 80.0, 25.0, 2.0  # and what better is not
LINE_FROM = 4.0  # points: nearer labels need no line to their mark


class Scene(NamedTuple):
    """What labels are put beside and must stay in, in points like everything here.

    marks [n, 2]: centres of the labelled marks, of `radius`; dots [m, 2]: what is better not covered;
    frame [2, 2]: lower left and upper right corner.
    """

    marks: Floats
    radius: float
    dots: Floats
    frame: Floats


class Places(NamedTuple):
    """Candidates, or one chosen for each label. centres [..., 2]; ends [..., 2]: of the line, on the label's edge."""

    centres: Floats
    ends: Floats


def place(scene: Scene, sizes: Floats) -> Places:
    """Places of labels of sizes [n, 2]."""
    marks = scene.marks
    halves = sizes / 2 + GAP
    offered = _candidates(marks, scene.radius, halves)
    fixed = _fixed(offered, scene, halves)
    chosen = fixed.argmin(axis=1)
    for _ in range(ROUNDS):
        before = chosen.copy()
        for one in range(len(marks)):
            chosen[one] = (fixed[one] + _between(one, offered, chosen, marks, halves)).argmin()
        if (chosen == before).all():
            break
    numbers = np.arange(len(marks))
    return Places(offered.centres[numbers, chosen], offered.ends[numbers, chosen])


def _candidates(marks: Floats, radius: float, halves: Floats) -> Places:
    """[labels, candidates, 2], around the marks at all distances and angles."""
    directions = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    reach = np.repeat(np.array(DISTANCES) + radius, len(ANGLES))[:, None] * np.tile(directions, (len(DISTANCES), 1))
    beside = np.clip(directions * np.sqrt(2), -1, 1)  # to a corner or the middle of an edge, and between
    centres = marks[:, None] + reach + np.tile(beside, (len(DISTANCES), 1)) * halves[:, None]
    ends = np.clip(marks[:, None], centres - halves[:, None], centres + halves[:, None])
    return Places(centres, ends)


def _fixed(offered: Places, scene: Scene, halves: Floats) -> Floats:
    """The price [labels, candidates] of each place, wherever the other labels are."""
    marks, radius, dots, frame = scene
    centres, half = offered.centres, halves[:, None]
    outside = ((centres - half < frame[0]) | (centres + half > frame[1])).any(axis=2)
    lines = _samples(marks[:, None], offered.ends)
    away = np.linalg.norm(lines[:, :, None] - marks[:, None], axis=-1).min(axis=-1) < radius
    away[np.arange(len(marks)), :, np.arange(len(marks))] = False  # a line may touch its own mark
    price: Floats = (
        np.repeat(DISTANCES, len(ANGLES))
        + np.tile(ASLANT * np.abs(np.sin(ANGLES)), len(DISTANCES))
        + OUTSIDE * outside
        + ON_MARK * _covered(centres, half + radius, marks).sum(axis=2)
        + ON_DOT * _covered(centres, half, dots).sum(axis=2)
        + LINE_ON_MARK * away.sum(axis=2)
    )
    return price


def _covered(centres: Floats, half: Floats, points: Floats) -> npt.NDArray[np.bool_]:
    """[labels, candidates, points]: whether a point is within `half` of a centre, in both directions."""
    near = np.abs(centres[:, :, None] - points) < half[:, :, None]
    return np.logical_and(near[..., 0], near[..., 1])


def _samples(starts: Floats, ends: Floats) -> Floats:
    """[..., SAMPLES, 2] of the lines from starts to ends."""
    share = np.linspace(0, 1, SAMPLES)[:, None]
    return starts[..., None, :] * (1 - share) + ends[..., None, :] * share


def _between(one: int, offered: Places, chosen: npt.NDArray[np.int64], marks: Floats, halves: Floats) -> Floats:
    """The price [candidates] of each place of label `one` beside the chosen places of the others."""
    others = np.delete(np.arange(len(marks)), one)
    centres, ends = offered.centres[others, chosen[others]], offered.ends[others, chosen[others]]
    own, own_ends, half = offered.centres[one], offered.ends[one], halves[one]
    touching = (np.abs(own[:, None] - centres) < half + halves[others]).all(axis=2)
    line, lines = _samples(marks[one], own_ends), _samples(marks[others], ends)
    within = np.abs(line[:, None] - centres[:, None]) < halves[others][:, None]
    through_theirs = np.logical_and(within[..., 0], within[..., 1]).any(axis=2)
    within = np.abs(own[:, None, None] - lines) < half
    through_own = np.logical_and(within[..., 0], within[..., 1]).any(axis=2)
    crossing = _cross(marks[one], own_ends[:, None], marks[others], ends)
    price = ON_LABEL * touching + LINE_ON_LABEL * through_theirs + LINE_ON_LABEL * through_own + CROSSING * crossing
    total: Floats = price.sum(axis=1)
    return total


def _cross(start: Floats, end: Floats, other_start: Floats, other_end: Floats) -> npt.NDArray[np.bool_]:
    """Whether two lines, each between two points [..., 2], cross."""
    apart = _side(start, end, other_start) * _side(start, end, other_end) < 0
    crossing: npt.NDArray[np.bool_] = apart & (
        _side(other_start, other_end, start) * _side(other_start, other_end, end) < 0
    )
    return crossing


def _side(start: Floats, end: Floats, point: Floats) -> Floats:
    """On which side of a line a point lies, as the sign."""
    along, to = end - start, point - start
    side: Floats = along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0]
    return side
