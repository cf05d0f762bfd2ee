"""The README's tables and pictures, made from committed records: `make readme`, with chromium on the path.

First those of the findings, then the table of one example and a picture of the committed page. The README keeps the
digests of what the pictures were made from, since other fonts and browsers draw them differently.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import findings_opening
from playwright.sync_api import sync_playwright
from published import markdown

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
FINDINGS = re.compile(r"(<!-- table of the findings -->\n).*?(<!-- end -->)", re.DOTALL)
DIGEST = re.compile(r"(<!-- picture of the page with SHA-256 )\w*( -->)")
FINDINGS_DIGEST = re.compile(r"(<!-- picture of the findings with SHA-256 )\w*( -->)")
WIDTH, HEIGHT = 1500, 1300


def table() -> str:
    """The columns that the README shows of the scores of the set."""
    found = records.read([SET])
    made = tables.build(found, rankings(found.counted.rows, found.counted.cases))
    shown = next(one for one in made if one.name == SET.name).shown
    chosen = shown[[name for name in shown if name.split(" ")[0] in COLUMNS]]
    return markdown(list(chosen.columns), chosen.to_numpy().tolist())


def with_tables(readme: str) -> str:
    of_findings = findings_opening.table(findings_opening.gathered())
    return _put(FINDINGS, f"{of_findings}\n", _put(TABLE, f"{table()}\n", readme))


def with_digests(readme: str) -> str:
    """`readme`, naming the page and the findings as they are as what the pictures show."""
    of_page = hashlib.sha256(PAGE.read_bytes()).hexdigest()[:16]
    return _put(FINDINGS_DIGEST, findings_opening.digest(), _put(DIGEST, of_page, readme))


def _put(place: re.Pattern[str], text: str, readme: str) -> str:
    return place.sub(lambda found: f"{found.group(1)}{text}{found.group(2)}", readme)


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
    findings_opening.draw(findings_opening.gathered())
    README.write_text(with_digests(with_tables(README.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
