"""The README's picture of the report page: `python scripts/report_picture.py`, with chromium on the path.

Shows one result set of results/examples/page/index.html.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "results" / "examples" / "page" / "index.html"
SHOWN = "MNIST, ResNet18 (search quick"  # the link to it begins so
WIDTH, HEIGHT = 1500, 1300


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(PAGE.as_uri())
        page.locator("nav a", has_text=SHOWN).first.click()
        page.screenshot(path=ROOT / "docs" / "report.png")
        browser.close()


if __name__ == "__main__":
    main()
