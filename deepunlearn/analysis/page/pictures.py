"""Figures inside the page: small, in its colours, their text never below 11 pixels."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from markupsafe import Markup

from deepunlearn.analysis.figures.style import INK, Picture

DRAWN_HERE = "retdev-indisc-"  # figures of this name are files alone: the summary draws the same with links
LEGIBLE = 11  # pixels, on the smallest screens too
FONT = re.compile(r"font(?:-size)?:[^;\"]*?([\d.]+)px")
NEEDLESS = re.compile(r'<metadata>.*?</metadata>|<!--.*?-->|(?<=>)\s+(?=<)| transform="rotate\(-0 [^"]*"', re.DOTALL)
EMPTY = re.compile(r"<g/>|<g></g>")
ALONE = re.compile(r"<g>(<(?:path|use)\b[^>]*/>|<text\b[^>]*>[^<]*</text>)</g>")  # a group of one
PATH = re.compile(r'(?<=\bd=")[^"]*')
STRAIGHT = re.compile(r"(?:[ML] *-?[\d.]+ -?[\d.]+ *\n?)+[zZ]? *\n?")  # a path of straight lines alone
POINT = re.compile(r"([ML]) *(-?[\d.]+) (-?[\d.]+)")
PLACE = re.compile(r'( (?:x|y|width|height)=")(-?\d+\.\d{2,})')
IDENTITY = re.compile(r' id="([^"]*)"')
USE = re.compile(r'(url\(#|href="#)([^")]*)')
STYLE = re.compile(r'style="([^"]*)"')


@dataclass(frozen=True)
class Inlined:
    """least: the width in pixels at which its smallest text is legible."""

    title: str
    svg: Markup
    least: int


class Gallery:
    """Figures of one page: what is said of style again and again is said once, in `css`."""

    def __init__(self) -> None:
        self._classes: dict[str, str] = {}
        self._count = 0

    def inline(self, picture: Picture) -> Inlined:
        """The SVG element itself, in the page's text colour, without what browsers do not need."""
        svg = picture.svg[picture.svg.index("<svg") :].replace(INK, "currentColor")
        least = _least(svg)
        svg = PATH.sub(lambda found: short_path(found.group()), NEEDLESS.sub("", svg))
        svg = PLACE.sub(lambda found: found[1] + _tenth(float(found[2])), svg)
        svg = _renamed(svg, f"f{self._count}")
        svg = ALONE.sub(r"\1", ALONE.sub(r"\1", EMPTY.sub("", svg)))
        svg = STYLE.sub(lambda found: f'class="{self._class(found[1])}"', svg)
        self._count += 1
        return Inlined(picture.title, Markup(svg), least)

    def _class(self, style: str) -> str:
        return self._classes.setdefault(style, f"s{len(self._classes)}")

    @property
    def css(self) -> Markup:
        """Of all figures so far."""
        return Markup("\n".join(f".drawing .{name}{{{html.unescape(style)}}}" for style, name in self._classes.items()))


def short_path(path: str) -> str:
    """The same line to a tenth of a pixel: without points that the line passes anyway."""
    if not STRAIGHT.fullmatch(path):
        return re.sub(r"\s*([MLQCzZ])\s*", r"\1", re.sub(r"-?\d+\.\d+", lambda one: _tenth(float(one.group())), path))
    points = [(kind, float(x), float(y)) for kind, x, y in POINT.findall(path)]
    return "".join(_steps(points)) + ("z" if path.rstrip()[-1:] in "zZ" else "")


def _steps(points: list[tuple[str, float, float]]) -> Iterator[str]:
    """SVG commands; of a level or upright line that goes on the same way only the end."""
    at = (0.0, 0.0)
    waiting, heading = "", (0, 0)
    for kind, x_exact, y_exact in points:
        to = round(x_exact, 1), round(y_exact, 1)
        if kind == "M":
            step, way = f"M{_tenth(to[0])} {_tenth(to[1])}", (0, 0)
        else:
            step, way = _step(at, to), (_sign(to[0] - at[0]), _sign(to[1] - at[1]))
        if kind == "L" and way == (0, 0):
            continue
        if way != heading or 0 not in way or way == (0, 0):
            yield waiting
        waiting, heading, at = step, way, to
    yield waiting


def _step(at: tuple[float, float], to: tuple[float, float]) -> str:
    if to[0] == at[0]:
        return f"V{_tenth(to[1])}"
    return f"H{_tenth(to[0])}" if to[1] == at[1] else f"L{_tenth(to[0])} {_tenth(to[1])}"


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _tenth(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _renamed(svg: str, name: str) -> str:
    """Short ids that no other figure has, and none where nothing refers to them."""
    used = {identity: f"{name}-{number}" for number, identity in enumerate(dict.fromkeys(_uses(svg)))}
    svg = IDENTITY.sub(lambda found: f' id="{used[found[1]]}"' if found[1] in used else "", svg)
    return USE.sub(lambda found: found[1] + used[found[2]], svg)


def _uses(svg: str) -> Iterable[str]:
    return (identity for _, identity in USE.findall(svg))


def _least(svg: str) -> int:
    box = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+)', svg)
    sizes = [float(size) for size in FONT.findall(svg)]
    return round(float(box.group(1)) * LEGIBLE / min(sizes)) if box and sizes else 0
