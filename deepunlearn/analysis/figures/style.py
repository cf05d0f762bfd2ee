"""What all figures share: order, colours and marks of the methods, fonts, and how a figure becomes SVG and PNG."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from deepunlearn.analysis.rows import REFERENCES
from deepunlearn.core.paths import shipped, write_atomically, write_bytes_atomically

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito: safe for colour-blind
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
INK = "#1a1b1d"  # text, axes and references; the page puts its own text colour in its place
DOTS_PER_INCH = 110
STYLE: Any = {
    "font.size": 9,
    "font.family": ["DejaVu Sans"],
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # text stays text: small, searchable
    "svg.hashsalt": "deepunlearn",  # equal figures are equal files
    "hatch.linewidth": 0.5,
}


class Look(NamedTuple):
    """How a method is drawn, the same in every figure. No two methods share colour and marker, nor colour and line."""

    colour: str
    marker: str
    line: Any


@dataclass(frozen=True)
class Picture:
    """A finished figure. name: of its files; group: the result set's file name or "" where it spans them."""

    name: str
    title: str
    group: str
    svg: str
    png: bytes

    def write(self, folder: Path) -> None:
        write_atomically(folder / f"{self.name}.svg", self.svg)
        write_bytes_atomically(folder / f"{self.name}.png", self.png)


def in_order(methods: Iterable[str]) -> list[str]:
    """References, then our methods by name, then others': the order of every figure and of the page."""
    catalogue = {name: position for position, name in enumerate(_catalogue())}
    return sorted(set(methods), key=lambda name: (catalogue.get(name, len(catalogue)), name))


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """The look of each method; of ours it does not depend on which others are shown."""
    catalogued = _catalogue()
    others = [name for name in in_order(methods) if name not in catalogued]
    numbered = {name: number for number, name in enumerate([*catalogued, *others][len(REFERENCES) :])}
    made = {name: _look(numbered[name]) for name in in_order(methods) if name in numbered}
    return {"original": Look(INK, "X", "-"), "retrained": Look(INK, "*", "--"), **made}


def _look(number: int) -> Look:
    turn = number // len(COLOURS)
    return Look(COLOURS[number % len(COLOURS)], MARKERS[turn % len(MARKERS)], LINES[turn % len(LINES)])


def _catalogue() -> list[str]:
    return [*REFERENCES, *sorted(path.stem for path in (shipped("conf") / "method").glob("*.yaml"))]


@contextmanager
def canvas(width: float, height: float) -> Iterator[Axes]:
    """Axes of a new figure (inches) in the house style; `finish` ends it."""
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(width, height), facecolor="white").add_subplot()


def finish(axes: Axes, name: str, title: str, group: str = "") -> Picture:
    """The figure of `axes` as a picture. To be called within `canvas`."""
    figure: Any = axes.figure
    figure.set_dpi(DOTS_PER_INCH)
    figure.tight_layout()
    svg, png = io.StringIO(), io.BytesIO()
    print_png: Any = FigureCanvasAgg(figure).print_png
    print_png(png)  # the canvases themselves: savefig would draw each figure twice
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    print_svg: Any = FigureCanvasSVG(figure).print_svg
    print_svg(svg, metadata={"Date": None, "Title": title})
    return Picture(name, title, group, svg.getvalue(), png.getvalue())


def rows_of(axes: Axes, titles: list[str]) -> None:
    """Make `axes` a list: a line per title, the first on top."""
    axes.set_yticks(range(len(titles)), titles)
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(axis="y", length=0)


def titles_of(frame: pd.DataFrame) -> dict[str, str]:
    """method -> its title, in the order of figures."""
    titles = dict(zip(frame["method"].tolist(), frame["method_title"].tolist(), strict=True))
    return {name: str(titles[name]) for name in in_order(map(str, titles))}
