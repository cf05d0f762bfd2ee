"""The drawing and the table of docs/architecture.md, from the imports of the source: `python -m tests.drawing`.

The drawing is docs/architecture.svg: a picture, so that the docs need no program from elsewhere to show it.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.test_layering import LAYERS, RANK, imports, modules, unit_of

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
DRAWING = PAGE.with_suffix(".svg")
BLOCK = re.compile(r"(<!-- layers -->\n).*?(<!-- end -->)", re.DOTALL)
LETTER, PADDING, HEIGHT, GAP, STEP = 7.6, 10, 26, 18, 58  # pixels of the drawing; STEP: from row to row
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" \
font-size="13">
<title>The parts of deepunlearn, each above those that it imports</title>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">\
<path d="M0 0L10 5L0 10z" fill="#78909c"/></marker></defs>
<rect width="100%" height="100%" rx="8" fill="#ffffff"/>"""


def uses() -> dict[str, set[str]]:
    """Which other parts each part imports."""
    found: dict[str, set[str]] = {unit: set() for row in LAYERS for unit in row}
    for name, path in modules().items():
        unit = unit_of(name)
        if unit is not None:
            inside = (one.removeprefix("deepunlearn.") for one in imports(path) if one.startswith("deepunlearn."))
            found[unit] |= {other for one in inside if (other := unit_of(one)) not in (None, unit)}
    return found


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """All parts that `start` rests on, directly or through others."""
    seen: set[str] = set()
    left = [start]
    while left:
        for other in graph[left.pop()] - seen:
            seen.add(other)
            left.append(other)
    return seen


def shown() -> dict[str, set[str]]:
    """The arrows of the drawing: from each part to those it imports, without arrows that others imply."""
    graph = uses()
    return {unit: direct - {far for near in direct for far in reached(graph, near)} for unit, direct in graph.items()}


def rows(graph: dict[str, set[str]]) -> list[list[str]]:
    """The parts from top to bottom, each above all that it imports, and those of a row near what they are used by."""
    depths: dict[str, int] = {}
    for unit in [unit for row in LAYERS for unit in row]:
        depths[unit] = 1 + max((depths[other] for other in graph[unit]), default=-1)
    made = [sorted(unit for unit in depths if depths[unit] == depth) for depth in range(max(depths.values()) + 1)][::-1]
    place: dict[str, float] = {}
    for row in made:
        above = {unit: [place[user] for user in place if unit in graph[user]] for unit in row}
        row.sort(key=lambda unit: (sum(above[unit]) / len(above[unit]) if above[unit] else 0.5, unit))
        place |= {unit: (number + 0.5) / len(row) for number, unit in enumerate(row)}
    return made


def drawing() -> str:
    """An SVG: a box for each part, an arrow from it down to those it imports."""
    graph = shown()
    made = rows(graph)
    sizes = {unit: LETTER * len(unit) + 2 * PADDING for unit in graph}
    width = max(sum(sizes[unit] for unit in row) + GAP * (len(row) + 1) for row in made)
    boxes: dict[str, tuple[float, float]] = {}  # the middle of each one's upper edge
    for number, row in enumerate(made):
        free = (width - sum(sizes[unit] for unit in row)) / (len(row) + 1)
        left = free
        for unit in row:
            boxes[unit] = (left + sizes[unit] / 2, GAP + number * STEP)
            left += sizes[unit] + free
    height = 2 * GAP + (len(made) - 1) * STEP + HEIGHT
    lines = [HEAD.format(width=round(width), height=height)]
    lines += [_arrow(boxes[unit], boxes[other]) for unit in sorted(graph) for other in sorted(graph[unit])]
    lines += [_box(unit, *boxes[unit], sizes[unit]) for unit in sorted(graph)]
    return "\n".join([*lines, "</svg>", ""])


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, top), (to_x, to_y) = start, end
    y = top + HEIGHT
    bend = (to_y - y) / 2
    curve = f"M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y:.0f}"
    return f'<path d="{curve}" fill="none" stroke="#78909c" marker-end="url(#tip)"/>'


def _box(unit: str, x: float, y: float, size: float) -> str:
    place = f'x="{x - size / 2:.0f}" y="{y:.0f}" width="{size:.0f}" height="{HEIGHT}"'
    text = f'<text x="{x:.0f}" y="{y + 0.67 * HEIGHT:.0f}" text-anchor="middle">{unit}</text>'
    return f'<rect {place} rx="5" fill="#e0f2f1" stroke="#00796b"/>{text}'


def layers() -> str:
    """A table: the row of each part, from the lowest, what it is, and how many modules it has."""
    lines = ["| layer | part | modules | what it is |", "|---|---|---|---|"]
    counts = {unit: sum(unit_of(name) == unit for name in modules()) for unit in RANK}
    for number, row in enumerate(LAYERS, 1):
        lines += [f"| {number} | `{unit}` | {counts[unit]} | {_first_line(unit)} |" for unit in row]
    return "\n".join(lines)


def _first_line(unit: str) -> str:
    text = ast.get_docstring(ast.parse(modules()[unit].read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0].replace("|", "\\|") if text else ""


def page(text: str) -> str:
    """The page with its table made anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{layers()}\n{block[2]}", text)


if __name__ == "__main__":
    DRAWING.write_text(drawing(), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
