"""The page in a real browser: tables sort, a click opens a method, both themes, and the console stays silent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, sync_playwright

from tests.commands import Finished, run_command

pytestmark = pytest.mark.slow


@dataclass
class Opened:
    page: Page
    complaints: list[str]
    requests: list[str]


@pytest.fixture
def opened(finished: Finished, chromium: str) -> Iterator[Opened]:
    """The report of a real sweep."""
    done = run_command("report", finished.folder)
    assert done.returncode == 0, done.stderr
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light")
        one = Opened(page, [], [])
        page.on("console", lambda message: one.complaints.append(message.text))
        page.on("pageerror", lambda error: one.complaints.append(str(error)))

        def note(route: Route) -> None:
            one.requests.append(route.request.url)
            route.continue_()

        page.route("**/*", note)
        page.goto((finished.folder / "results" / "index.html").as_uri())
        yield one
        assert not one.complaints
        assert [url for url in one.requests if not url.startswith("file:")] == []
        browser.close()


def column(page: Page, table: str, number: int) -> list[str]:
    return page.locator(f"#{table} tbody tr td:nth-child({number})").all_inner_texts()


def numbers(texts: list[str]) -> list[float]:
    """Those of cells in their order; cells without one must come last."""
    missing = [not text or text.startswith("n/a") for text in texts]
    assert missing == sorted(missing)
    return [float(text.split()[0]) for text, none in zip(texts, missing, strict=True) if not none]


def test_a_table_sorts_by_number_and_by_name(opened: Opened) -> None:
    page = opened.page
    page.click("nav a:nth-child(2)")
    page.wait_for_selector(".view.shown h2:has-text('scores')")
    table = page.locator(".view.shown table.sortable").first
    name = str(table.get_attribute("id"))
    headers = table.locator("thead th").all_inner_texts()
    position = next(number for number, header in enumerate(headers, start=1) if header.strip() == "RA")
    table.locator(f"thead th:nth-child({position})").click()
    values = numbers(column(page, name, position))
    assert values == sorted(values) and len(set(values)) > 1
    table.locator(f"thead th:nth-child({position})").press("Enter")
    values = numbers(column(page, name, position))
    assert values == sorted(values, reverse=True)
    table.locator("thead th:nth-child(1)").click()
    names = column(page, name, 1)
    assert names == sorted(names, key=str.casefold)
    assert {"FT", "CT", "MSG", "original", "retrained", "no difference"} == set(names)


def test_a_click_opens_a_method_and_back_returns(opened: Opened) -> None:
    page = opened.page
    assert page.locator(".view.shown").count() == 1
    page.locator(".view.shown a", has_text="MSG").first.click()
    page.wait_for_selector("#method-msg.shown")
    assert page.locator(".view.shown").get_attribute("id") == "method-msg"
    assert page.locator(".view.shown h2").is_visible()
    assert "init_rate" in page.locator(".view.shown").inner_text()
    page.go_back()
    page.wait_for_selector("#overview.shown")
    assert page.locator(".view.shown").get_attribute("id") == "overview"


def test_light_and_dark(opened: Opened) -> None:
    page = opened.page

    def brightness(what: str) -> float:
        colour = page.evaluate(
            f"getComputedStyle(document.querySelector('{what}')).{'color' if 'text' in what else 'backgroundColor'}"
        )
        return sum(float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3

    assert brightness("body") > 200 and brightness("svg text") < 80
    page.click("#theme")
    assert brightness("body") < 80 and brightness("svg text") > 200, "figures follow the page"
    page.click("#theme")
    page.emulate_media(color_scheme="dark")
    assert brightness("body") > 200, "what was chosen stays"


def test_figures_are_legible(opened: Opened) -> None:
    """Text in a figure is drawn at no less than eight pixels, and none lies outside its figure."""
    page = opened.page
    page.click("nav a:nth-child(2)")
    page.wait_for_selector(".view.shown h2:has-text('scores')")
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('.view.shown svg')].flatMap(svg => {
             const box = svg.getBoundingClientRect();
             return [...svg.querySelectorAll('text')].map(text => {
               const own = text.getBoundingClientRect();
               return [own.height, own.left - box.left, box.right - own.right, text.textContent];
             });
           })"""
    )
    assert len(sizes) > 30
    for height, left, right, text in sizes:
        assert height >= 8 and left > -2 and right > -2, (height, left, right, text)


def test_headers_explain_themselves(opened: Opened) -> None:
    titles = opened.page.locator("th abbr", has_text="RetDev").first.get_attribute("title")
    assert titles is not None and "Reference" in titles


def test_it_can_be_read_without_scripts(finished: Finished, chromium: str) -> None:
    assert run_command("report", finished.folder).returncode == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto((Path(finished.folder) / "results" / "index.html").as_uri())
        assert page.locator("#method-ft").is_visible() and page.locator("#glossary").is_visible()
        browser.close()
