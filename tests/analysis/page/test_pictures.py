"""Figures within the page: the same shapes in fewer letters, and no id or style that another figure has."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.analysis.figures.style import INK, Picture
from deepunlearn.analysis.page.pictures import LEGIBLE, Gallery, short_path

POINTS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=12)
SVG = f"""<?xml version="1.0"?><svg viewBox="0 0 500 300" xmlns="http://www.w3.org/2000/svg"><metadata>m</metadata>
 <defs><path id="mark" d="M 0 0.04 L 3.456 0 L 3.456 7 z"/></defs> <g id="unused"><use xlink:href="#mark" x="1.2345"/>
 <text style="font: 10px 'DejaVu Sans'; fill: {INK}">p = 0.1234 here</text><path style="opacity: 0.25" d="M 1 1"/>
 <text style="font: 8px 'DejaVu Sans'">small</text></g></svg>"""


def drawing(name: str = "one") -> Picture:
    known = {"name": name, "title": "a title", "group": "", "svg": SVG, "png": b""}
    return Picture(**{field: known.get(field, "") for field in Picture.__dataclass_fields__})


def corners(path: str) -> list[tuple[float, float]]:
    """The points of a path of M, L, H and V."""
    found: list[tuple[float, float]] = []
    for kind, text in re.findall(r"([MLHV])([-\d. ]+)", path):
        numbers = [float(number) for number in text.split()]
        x, y = found[-1] if found else (0.0, 0.0)
        found.append({"H": (numbers[0], y), "V": (x, numbers[0])}.get(kind) or (numbers[0], numbers[-1]))
    return found


def bare(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without repeated points and those on the way of a level or upright line."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if kept and point == kept[-1]:
            continue
        if len(kept) > 1:
            (x0, y0), (x1, y1), (x2, y2) = kept[-2], kept[-1], point
            along = (x0 == x1 == x2 and (y1 - y0) * (y2 - y1) > 0) or (y0 == y1 == y2 and (x1 - x0) * (x2 - x1) > 0)
            if along:
                kept.pop()
        kept.append(point)
    return kept


@given(POINTS)
def test_a_shortened_path_has_the_same_corners(points: list[tuple[int, int]]) -> None:
    path = "".join(f"{'ML'[number > 0]} {x:.6f} {y:.6f} \n" for number, (x, y) in enumerate(points))
    short = short_path(path + "z")
    assert bare(corners(short)) == bare([(float(x), float(y)) for x, y in points])
    assert short.endswith("z") and len(short) < len(path)


def test_level_lines_are_one_step() -> None:
    assert short_path("M 0 5 \nL 1.04 5 \nL 2 5 \nL 2 9 L 2 7") == "M0 5H2V9V7"


def test_curves_are_only_rounded() -> None:
    assert short_path("M 0.123 5 C 1.255 2 3 4 5 6.05 z") == "M0.1 5C1.3 2 3 4 5 6z"


def test_an_inlined_figure_is_short_coloured_by_the_page_and_says_how_wide_it_must_be() -> None:
    gallery = Gallery()
    found = gallery.inline(drawing())
    assert found.svg.startswith("<svg") and "metadata" not in found.svg and INK not in found.svg
    assert "currentColor" in gallery.css and "opacity: 0.25" in gallery.css and "style=" not in found.svg
    assert "p = 0.1234 here" in found.svg and 'x="1.2"' in found.svg, "places are rounded, words are not"
    assert found.least == pytest.approx(500 * LEGIBLE / 8, abs=1)


def test_ids_of_two_figures_do_not_meet_and_styles_are_said_once() -> None:
    gallery = Gallery()
    both = gallery.inline(drawing("one")).svg + gallery.inline(drawing("two")).svg
    ids, used = re.findall(r' id="([^"]*)"', both), re.findall(r'href="#([^"]*)"', both)
    assert ids == used and len(set(ids)) == 2
    assert gallery.css.count("opacity: 0.25") == 1
