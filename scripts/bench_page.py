"""Pace of the page on 10,800 invented rows, in Chromium: `python scripts/bench_page.py [FOLDER]`.

The paper's full result set (scripts/paper_rows.py) six times under other names: 54 result sets, 18 methods, 10 seeds.
Prints a Markdown table: milliseconds from the event to the finished layout, the median and the slowest of ten.
FOLDER keeps the rows and the page. All summaries are there; the tables behind them are those of the first nine result
sets, and no figures, since both are laid out only when their view is opened.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
from playwright.sync_api import Page, sync_playwright

from deepunlearn.analysis import tables
from deepunlearn.analysis.page import build
from deepunlearn.analysis.page.methods import About
from deepunlearn.analysis.ranking import rankings
from deepunlearn.analysis.records import Records, collect
from deepunlearn.config import method_configs
from deepunlearn.core.provenance import commit, machine

COPIES, REPEATS = 6, 10
SHOWN = "() => document.querySelector('.view.shown').offsetHeight"
FILTER = """([field, value]) => { const one = document.querySelector(`[data-filter=${field}]`);
  const start = performance.now(); one.value = value; one.dispatchEvent(new Event('change'));
  document.body.offsetHeight; return performance.now() - start; }"""
SORT = """number => { const button = document.querySelectorAll('.view.shown .set:not([hidden]) th button')[number];
  const start = performance.now(); button.click(); document.body.offsetHeight; return performance.now() - start; }"""


def copied(records: Records) -> Records:
    """The records several times, each time of datasets of other names."""

    def of(frame: pd.DataFrame, number: int) -> pd.DataFrame:
        known = {name: frame[name] + f" {number}" for name in ("dataset", "dataset_title") if name in frame and number}
        ids = {name: frame[name].where(frame[name].fillna("") == "", _other(frame[name], number))
               for name in ("cell", "result_set") if name in frame}  # fmt: skip
        return frame.assign(**known, **ids)

    def all_of(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([of(frame, number) for number in range(COPIES)], ignore_index=True)

    return replace(records, rows=all_of(records.rows), cases=all_of(records.cases))


def _other(ids: pd.Series, number: int) -> pd.Series:
    """Ids of the same length that no other copy has."""
    return f"{number:x}" + ids.str[1:]


def main(folder: Path) -> None:
    if not (folder / "runs").exists():
        subprocess.run([sys.executable, "scripts/paper_rows.py", str(folder)], check=True, stdout=subprocess.DEVNULL)
    first = collect(folder)
    records, ranked = copied(first), rankings(first.counted.rows, first.counted.cases)
    about = {name: About(one.full_name, one.paper) for name, one in method_configs().items()}
    path = folder / "index.html"
    path.write_text(build(records, ranked, tables.build(first, ranked), [], about=about, made="invented"), "utf-8")
    print(f"{len(records.rows)} rows, {path.stat().st_size / 1e6:.1f} MB; {machine()}; commit {commit()}\n")
    print("| what | median, ms | slowest, ms |\n|---|---|---|")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(path.as_uri())
        page.evaluate(SHOWN)
        _filters(page)
        _row("sort a summary", [page.evaluate(SORT, number % 7) for number in range(REPEATS)])
        page.evaluate("location.hash = 'coverage'")
        page.wait_for_selector("#coverage.shown th button")
        lines = page.locator("#coverage tbody tr").count()
        sort = SORT.replace(".set:not([hidden]) ", "")
        _row(f"sort the coverage of {lines} lines", [page.evaluate(sort, number % 4) for number in range(REPEATS)])
        browser.close()


def _filters(page: Page) -> None:
    """Each filter on and off again."""
    for field in ("dataset", "method"):
        options = page.locator(f"[data-filter={field}] option").evaluate_all("all => all.map(one => one.value)")
        chosen = [options[1 + number // 2 % (len(options) - 1)] if number % 2 == 0 else "" for number in range(REPEATS)]
        _row(f"filter by {field}", [page.evaluate(FILTER, [field, value]) for value in chosen])


def _row(what: str, taken: list[float]) -> None:
    print(f"| {what} | {statistics.median(taken):.0f} | {max(taken):.0f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
