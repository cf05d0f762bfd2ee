"""The README's table and picture, made from the committed example: `make readme`, with chromium on the path.

The table is of the records of one set. The picture is of the committed page; the README keeps the digest of what it was
made from, since browsers draw it differently.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from deepunlearn.analysis import records, tables
from deepunlearn.analysis.ranking import rankings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "report.png"
EXAMPLES = ROOT / "results" / "examples"
SET = EXAMPLES / "cifar10-resnet18"
PAGE = EXAMPLES / "page" / "index.html"
COLUMNS = ("method", "RA", "FA", "TA", "RetDev", "Indisc", "RTE", "seconds")
TABLE = re.compile(r"(<!-- front table -->\n).*?(<!-- end -->)", re.DOTALL)
DIGEST = re.compile(r"(<!-- picture of the page with SHA-256 )\w*( -->)")
WIDTH, HEIGHT = 1500, 1300


def table() -> str:
    """The columns that the README shows of the scores of the set."""
    found = records.read([SET])
    made = tables.build(found, rankings(found.counted.rows, found.counted.cases))
    shown = next(one for one in made if one.name == SET.name).shown
    chosen = shown[[name for name in shown if name.split(" ")[0] in COLUMNS]]
    lines = [chosen.columns, ["---"] * len(chosen.columns), *chosen.to_numpy()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_table(readme: str) -> str:
    return TABLE.sub(lambda found: f"{found.group(1)}{table()}\n{found.group(2)}", readme)


def with_digest(readme: str) -> str:
    """`readme`, naming the page as it is as what the picture shows."""
    digest = hashlib.sha256(PAGE.read_bytes()).hexdigest()[:16]
    return DIGEST.sub(lambda found: f"{found.group(1)}{digest}{found.group(2)}", readme)


def draw() -> None:
    """The first screen of the page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(PAGE.as_uri())
        page.screenshot(path=PICTURE)
        browser.close()


def main() -> None:
    draw()
    README.write_text(with_digest(with_table(README.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
