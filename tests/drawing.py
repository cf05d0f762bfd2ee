"""The drawing of docs/architecture.md, from the imports of the source; `python -m tests.drawing` puts it there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.test_layering import LAYERS, RANK, imports, modules, unit_of

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
BLOCK = re.compile(r"(<!-- (drawing|layers) -->\n).*?(<!-- end -->)", re.DOTALL)


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


def drawing() -> str:
    """A Mermaid chart: an arrow from each part to those it imports, without arrows that others imply."""
    graph = uses()
    lines = ["```mermaid", "flowchart TD"]
    for unit in reversed([unit for row in LAYERS for unit in row]):
        direct = graph[unit]
        implied = {far for near in direct for far in reached(graph, near)}
        lines += [f"  {_id(unit)}[{unit}] --> {_id(other)}[{other}]" for other in sorted(direct - implied)]
    return "\n".join([*lines, "```"])


def _id(unit: str) -> str:
    return unit.replace(".", "_")


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
    """The page with its two blocks made anew."""
    made = {"drawing": drawing(), "layers": layers()}
    return BLOCK.sub(lambda block: f"{block[1]}{made[block[2]]}\n{block[3]}", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
