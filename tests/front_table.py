"""The table of scores in the README, from the file that it cites; `python -m tests.front_table` puts it there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FILE = ROOT / "results" / "examples" / "cifar10-resnet18" / "tables" / "cifar10-resnet18.md"
COLUMNS = ("method", "RA", "FA", "TA", "RetDev", "Indisc", "RTE", "seconds")
BLOCK = re.compile(r"(<!-- front table -->\n).*?(<!-- end -->)", re.DOTALL)


def table() -> str:
    """The columns that the README shows, as they stand in the file."""
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    header, _, *body = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)
    chosen = [place for place, name in enumerate(header) if name.split(" ")[0] in COLUMNS]
    told = [[line[place] for place in chosen] for line in (header, ["---"] * len(header), *body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in told)


def with_table(page: str) -> str:
    return BLOCK.sub(lambda found: f"{found.group(1)}{table()}\n{found.group(2)}", page)


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
