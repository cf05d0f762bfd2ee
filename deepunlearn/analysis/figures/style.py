"""What all figures share: order, colours and marks of the methods, fonts, axes, and how a figure becomes a file."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, NullLocator

from deepunlearn.analysis.rows import REFERENCES
from deepunlearn.core.paths import shipped, write_bytes_atomically

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito: safe for colour-blind
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
INK = "#1a1b1d"  # text, axes and references; the page puts its own text colour in its place
WIDTHS = (3.3, 6.8)  # inches: one column and two of a paper
FORMATS = ("pdf", "svg", "png")
FONT = 8.0  # points, of all text, at the final width; on the page a phone shows the narrow figures with 11 px and more
KEY = 0.62  # of the width of a figure: for a key in a list
LETTER = 0.56 * FONT  # points: width of a letter on average, a little more than what DejaVu Sans has
LINE = 0.165  # inches: a line of a list
MOST_DECADES = 6  # that an axis names
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LONG_NUMBER = re.compile(rb"(\d\.\d\d)\d+")  # in an SVG: a hundredth of a point cannot be seen
DOTS_PER_INCH = 300
STYLE: Any = {
    "font.size": FONT,
    "font.family": ["DejaVu Sans"],
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    **dict.fromkeys(("axes.titlesize", "axes.labelsize", "legend.fontsize", "figure.labelsize"), FONT),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), FONT),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width", "grid.linewidth"), 0.6),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.5),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.solid_capstyle": "butt",  # a line ends where its interval does
    "pdf.fonttype": 42,  # TrueType, embedded: publishers refuse Type 3
    "svg.fonttype": "none",  # on the page text stays text: small, searchable
    "svg.hashsalt": "deepunlearn",  # equal figures are equal files
}

STATES = "F: failed, n/a: cannot be applied, incomplete: not all were run"  # in labels of methods


@dataclass(frozen=True)
class Sheet:
    """What figures are drawn for: their final width in inches, one of `WIDTHS`, and a format of files."""

    width: float = WIDTHS[0]
    format: str = FORMATS[0]

    @property
    def letters(self) -> int:
        """How many letters a line of text across the whole figure may have."""
        return int(self.width * 72 / LETTER)


class Look(NamedTuple):
    """How a method is drawn, the same in every figure. No two methods share colour and marker, nor colour and line."""

    colour: str
    marker: str
    line: Any


PAGE = Sheet()  # what the page shows: a phone scales wider figures down, text and all


class Subject(NamedTuple):
    """What a figure is of. conditions: of its models, in words; of a result set also its file name, and its cell."""

    conditions: str
    group: str = ""
    title: str = ""


@dataclass(frozen=True)
class Picture:
    """A finished figure. name: of its files; group: the result set's file name or "" where it spans them.

    title: what is drawn, and how to read it; conditions: of the models in it, in words; svg: for the page, with text as
    text; file: what `write` writes, in the format of its suffix.
    """

    name: str
    title: str
    conditions: str
    group: str
    svg: str
    file: bytes
    suffix: str

    def write(self, folder: Path) -> None:
        write_bytes_atomically(folder / f"{self.name}{self.suffix}", self.file)


def captions(pictures: Iterable[Picture]) -> str:
    """The captions of all figures, as Markdown."""
    told = [f"## {one.name}\n\n{one.title}. {one.conditions}\n" for one in pictures]
    return "\n".join(["# Captions of the figures\n", *told])


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
def blank(sheet: Sheet, height: float) -> Iterator[Figure]:
    """A new figure of `height` inches in the house style; `finish` ends it."""
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.02)  # unlike the tight one, it sees labels of figures
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(sheet.width, height), facecolor="white", layout=layout)


@contextmanager
def canvas(sheet: Sheet, height: float) -> Iterator[Axes]:
    """The same with one pair of axes."""
    with blank(sheet, height) as figure:
        yield figure.add_subplot()


def finish(figure: Any, sheet: Sheet, name: str, title: str, subject: Subject) -> Picture:
    """The figure as a picture. To be called within `blank`."""
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")  # or each of the files would find it anew
    _keep_inside(figure)
    file = {"pdf": _pdf, "svg": _svg_of_shapes, "png": _png}[sheet.format](figure, title)
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    svg = _svg(figure, title).decode()
    return Picture(name, title, subject.conditions, subject.group, svg, file, f".{sheet.format}")


def _keep_inside(figure: Any) -> None:
    """Labels below narrow axes that would leave the figure end where their axes do: there is room on their left."""
    for axes in figure.axes:
        label = axes.xaxis.label
        if label.get_window_extent().x1 > figure.bbox.x1:
            label.set(x=1, horizontalalignment="right")


def _svg(figure: Any, title: str) -> bytes:
    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Title": title})  # type: ignore[no-untyped-call]
    return LONG_NUMBER.sub(rb"\1", text.getvalue().encode())


def _svg_of_shapes(figure: Any, title: str) -> bytes:
    """Letters as shapes: it looks the same where the font is missing."""
    with mpl.rc_context({"svg.fonttype": "path"}):
        return _svg(figure, title)


def _pdf(figure: Any, title: str) -> bytes:
    made = io.BytesIO()
    FigureCanvasPdf(figure).print_pdf(made, metadata={"CreationDate": None, "Title": title})  # type: ignore[no-untyped-call]
    return made.getvalue()


def _png(figure: Any, title: str) -> bytes:
    made = io.BytesIO()
    figure.set_dpi(DOTS_PER_INCH)
    FigureCanvasAgg(figure).print_png(made, metadata={"Title": title})  # type: ignore[no-untyped-call]
    return made.getvalue()


def rows_of(axes: Axes, titles: list[str]) -> None:
    """Make `axes` a list: a line per title, the first on top."""
    axes.set_yticks(range(len(titles)), titles)
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(axis="y", length=0)


def dashed(axes: Axes, value: float, lines: int) -> None:
    """A dashed line at `value` across the lines of a list, not across its key."""
    axes.plot([value, value], [-0.5, lines - 0.5], color=INK, linestyle="--", linewidth=0.8)


def key_lines(sheet: Sheet, labels: Iterable[str]) -> tuple[int, int]:
    """Lines and columns of a key with these labels in the upper part of a list; labels may be of several lines."""
    split = [label.splitlines() for label in labels]
    longest, tallest = max(len(line) for lines in split for line in lines), max(map(len, split))
    columns = min(len(split), max(1, int(KEY * sheet.letters / (longest + 6))))
    lines = sum(map(len, split)) if columns == 1 else math.ceil(len(split) / columns) * tallest
    return lines, columns


def key_above(axes: Axes, lines: int, columns: int, line: float = LINE) -> None:
    """The key of a list, inside its axes, in lines of its own above the first. line: inches of a line of the list."""
    axes.set_ylim(top=-0.7 - lines * LINE / line)
    axes.legend(frameon=False, loc="upper left", ncols=columns, borderaxespad=0, borderpad=0.2, labelspacing=0.25,
                handletextpad=0.4, columnspacing=1.0, handlelength=1.2)  # fmt: skip


def logarithmic(axes: Axes, low: float, high: float) -> None:
    """The x axis of values from low to high, above 0, with as many plain numbers as there is room for."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    steps = (1, 2, 5) if high / low < 30 else (1, 3) if high / low < 300 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = range(last, first - 1, -max(1, round((last - first) / MOST_DECADES)))
    ticks = [lead * 10.0**power for power in powers for lead in steps]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: plain(value))


def plain(value: float) -> str:
    """Three digits; a power of ten for what is small."""
    if 0 < value < 0.001:
        power = math.floor(math.log10(value) + 1e-9)
        lead = f"{value / 10.0**power:.2g}"
        return f"{'' if lead == '1' else f'{lead}·'}10{str(power).translate(RAISED)}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def wrapped(sheet: Sheet, text: str, kept: Iterable[str] = ()) -> str:
    """`text` in lines that fit the figure; the words of each of `kept` stay together."""
    bound = text
    for phrase in kept:
        bound = bound.replace(phrase, phrase.replace(" ", "\xa0"))
    return "\n".join(textwrap.wrap(bound, sheet.letters - 4, break_long_words=False)).replace("\xa0", " ")


def titles_of(frame: pd.DataFrame) -> dict[str, str]:
    """method -> its title, in the order of figures."""
    titles = dict(zip(frame["method"].tolist(), frame["method_title"].tolist(), strict=True))
    return {name: str(titles[name]) for name in in_order(map(str, titles))}
