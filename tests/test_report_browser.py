"""The page in a real browser: the answer on the first screen, at a desk and on a phone, light and dark, by keyboard."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, sync_playwright

from deepunlearn.analysis import tables
from deepunlearn.analysis.page import build
from deepunlearn.analysis.page.methods import About
from deepunlearn.analysis.ranking import rankings
from deepunlearn.analysis.records import collect
from tests.analysis.conftest import Shelf
from tests.commands import Finished, run_command

pytestmark = pytest.mark.slow

SIZES = {"desk": (1400, 900), "phone": (390, 844)}
METHODS = ("bt", "cfk", "cfw", "ct", "euk", "fcs", "ff", "ft", "ga", "iu", "kde", "labelflip", "msg", "ngplus", "prmq",
           "rni", "salun", "scrub", "srl")  # fmt: skip
SEEDS = 6
RESULT_SETS = {"paper": "a" * 16, "heldout": "b" * 16}


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(scope="module")
def swept(finished_once: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a real sweep."""
    folder = tmp_path_factory.mktemp("swept") / "copy"
    shutil.copytree(finished_once.folder, folder)
    done = run_command("report", folder)
    assert done.returncode == 0, done.stderr
    return folder / "results" / "index.html"


@pytest.fixture(scope="module")
def pictured(finished_once: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with panels; of CT no weights were kept."""
    folder = tmp_path_factory.mktemp("pictured") / "copy"
    shutil.copytree(finished_once.folder, folder)
    for path in folder.glob("results/store/digits/smallnet/unlearned/ct/*/meta.json"):
        meta = json.loads(path.read_text(encoding="utf-8"))
        del meta["files"]["weights.safetensors"]
        path.write_text(json.dumps(meta), encoding="utf-8")
        path.with_name("weights.safetensors").unlink()
    done = run_command("report", folder, "panels=true")
    assert done.returncode == 0, done.stderr
    return folder / "results" / "index.html"


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two result sets of nineteen methods and six seeds, one of which fails."""
    folder = tmp_path_factory.mktemp("invented")
    shelf, chance = Shelf(folder / "results"), np.random.default_rng(0)
    shelf.references(*range(SEEDS))
    for protocol, method, seed in itertools.product(RESULT_SETS, METHODS, range(SEEDS)):
        retdev = 0.02 * 1.3 ** METHODS.index(method) * (1 + 0.1 * chance.random())
        lost = method == "kde" and seed == 0
        shelf.add(
            method=method, method_title=method.upper(), seed=seed, RetDev=retdev, Indisc=1 - min(0.9, retdev / 5),
            protocol=protocol, result_set=RESULT_SETS[protocol], usable=not lost,
            reason="TA is not above chance" if lost else None,
        )  # fmt: skip
    found = collect(shelf.root)
    ranked = rankings(found.rows, found.cases)
    about = {name: About(f"Method {name} spelled out", "invented") for name in METHODS}
    path = folder / "index.html"
    text = build(found, ranked, tables.build(found, ranked), [], about=about, made="made by a test")
    path.write_text(text, encoding="utf-8")
    return path


@dataclass
class Opened:
    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


Opens = Callable[..., Page]


@pytest.fixture
def opens(browser: Browser) -> Iterator[Opens]:
    """Opens a page; the console must stay silent, and nothing may be fetched."""
    opened: list[Opened] = []

    def one(path: Path, size: str = "desk", theme: Any = "light", scripts: bool = True) -> Page:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, java_script_enabled=scripts
        )
        now = Opened(context.new_page())
        now.page.on("console", lambda message: now.complaints.append(message.text))
        now.page.on("pageerror", lambda error: now.complaints.append(str(error)))

        def note(route: Route) -> None:
            now.requests.append(route.request.url)
            route.continue_()

        now.page.route("**/*", note)
        now.page.goto(path.as_uri())
        opened.append(now)
        return now.page

    yield one
    for now in opened:
        assert not now.complaints
        assert [url for url in now.requests if not url.startswith("file:")] == []
        now.page.context.close()


def show(page: Page, view: str) -> None:
    page.evaluate(f"location.hash = '{view}'")
    page.wait_for_selector(f"[id='{view}'].shown")


# ------------------------------------------------------------------------------------------------------- first screen


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_first_screen_has_the_answer_and_nothing_is_cut_off(
    invented: Path, opens: Opens, size: str, theme: str
) -> None:
    page = opens(invented, size, theme)
    width, height = SIZES[size]
    first = page.locator(".set").first
    best = first.locator("tbody tr").first
    assert best.inner_text().split("\n")[0].startswith("Method bt spelled out BT")
    texts = best.locator("td").all_inner_texts()
    assert texts[0] == "1" and re.fullmatch(r"0\.02\d", texts[1]) and "6/6" in texts
    assert best.locator(".whisker").count() == 2, "an interval of either metric"
    box = best.bounding_box()
    assert box is not None and box["y"] + box["height"] < height * 0.6
    assert "6 seeds, 1 cell" in first.locator(".trust").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate("[...document.querySelectorAll('.answer .wide')].map(box => box.scrollWidth - box.clientWidth)")
    assert max(cut) <= 0, "the table fits"
    assert (first.locator(".plot .corner").text_content() or "").startswith("↖ better")
    if size == "desk":
        plot = first.locator(".plot svg").bounding_box()
        assert plot is not None and plot["y"] + plot["height"] < height and plot["x"] + plot["width"] <= width
        last = first.locator("tbody tr").last
        assert "failed" in last.inner_text() and "5/6" in last.inner_text()


def serious(page: Page) -> list[tuple[str, list[str]]]:
    """The serious barriers that axe-core finds, each with the first elements that have it."""
    found = Axe().run(page).response["violations"]
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_barrier(invented: Path, swept: Path, opens: Opens, size: str, theme: str) -> None:
    """axe-core on every kind of view."""
    for path, views in (
        (invented, ("summary", "methods", "method-kde", "glossary", "coverage")),
        (swept, ("digits-smallnet",)),
    ):
        page = opens(path, size, theme)
        for view in views:
            show(page, view)
            assert not serious(page), view


def test_panels_show_the_images_with_words_and_only_when_asked(swept: Path, pictured: Path, opens: Opens) -> None:
    assert "data:image/jpeg" not in swept.read_text(encoding="utf-8")
    page = opens(pictured)
    show(page, "method-msg")
    panel = page.locator("#method-msg .panel")
    images = panel.locator("img")
    assert images.count() == 9 and panel.locator(".drawing svg").count() == 1
    loaded = "images => images.every(image => image.complete && image.naturalWidth === 4 * image.naturalHeight)"
    assert images.evaluate_all(loaded)
    told = [images.nth(number).get_attribute("alt") or "" for number in range(9)]
    assert [text.split(",")[0] for text in told] == ["forget set"] * 3 + ["retain set"] * 3 + ["test image"] * 3
    where = r"original (\w+ ?\w*), unlearned (\w+ ?\w*), retrained (\w+ ?\w*)$"
    assert all(re.search(where, text) for text in told), told
    shown = [panel.locator("tbody tr").nth(number).locator("td").all_inner_texts()[1:] for number in range(9)]
    assert all(0 <= float(value) <= 1 for line in shown for value in line)
    assert not serious(page)
    show(page, "method-ct")
    assert "weights of this model, which were not kept" in page.locator("#method-ct .panel").inner_text()
    assert page.locator("#method-ct .panel .drawing svg").count() == 1, "losses need no weights"
    phone = opens(pictured, "phone", "dark")
    show(phone, "method-msg")
    assert not serious(phone) and phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert len(pictured.read_bytes()) - len(swept.read_bytes()) < 3 * 40_000, "each method adds less than 40 kB"


def test_panels_are_stored_and_never_among_records(pictured: Path) -> None:
    store = pictured.parent / "store/digits/smallnet/panels"
    assert sorted(path.name for path in store.iterdir()) == ["ft", "msg"]
    maps = sorted(store.glob("ft/*/maps.npz"))
    assert len(maps) == 1
    with np.load(maps[0]) as kept:
        assert {name.split("_")[0] for name in kept.files} == {"samples", "original", "retrained", "unlearned"}
    assert not list((pictured.parent / "records").glob("*panel*"))
    drawn = {path.stem for path in (pictured.parent / "figures").glob("loss-change-*")}
    assert drawn == {f"loss-change-{name}-digits-smallnet" for name in ("ct", "ft", "msg")}


def test_on_a_phone_the_menu_is_a_list_and_figures_are_legible(swept: Path, opens: Opens) -> None:
    page = opens(swept, "phone")
    assert page.locator("#menu").is_visible() and not page.locator("nav").is_visible()
    sizes = """() => [...document.querySelectorAll('.view.shown svg text')]
        .filter(text => text.getClientRects().length)
        .map(text => { const { a, b } = text.getScreenCTM();
          return [parseFloat(getComputedStyle(text).fontSize) * Math.hypot(a, b), text.textContent]; })"""
    assert min(page.evaluate(sizes))[0] >= 11
    page.select_option("#menu", "digits-smallnet")
    page.wait_for_selector("[id='digits-smallnet'].shown")
    drawn = page.evaluate(sizes)
    assert len(drawn) > 30 and min(drawn)[0] >= 10.9, min(drawn)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_text_in_figures_lies_inside_them(swept: Path, opens: Opens) -> None:
    page = opens(swept)
    show(page, "digits-smallnet")
    sides = page.evaluate(
        """() => [...document.querySelectorAll('.view.shown .drawing svg')].flatMap(svg => {
             const box = svg.getBoundingClientRect();
             return [...svg.querySelectorAll('text')].map(text => {
               const own = text.getBoundingClientRect();
               return [own.left - box.left, box.right - own.right, text.textContent];
             });
           })"""
    )
    assert len(sides) > 30
    for left, right, text in sides:
        assert left > -2 and right > -2, (left, right, text)


# ------------------------------------------------------------------------------------------------- tables and filters


def column(page: Page, table: str, header: str) -> list[str]:
    """The cells of a column, by the first word of its header."""
    headers = [text.split()[0] for text in page.locator(f"{table} thead tr:last-child > *").all_inner_texts()]
    return page.locator(f"{table} tbody tr > :nth-child({headers.index(header) + 1})").all_inner_texts()


def numbers(texts: list[str]) -> list[float]:
    """Those of cells in their order; cells without one must come last."""
    missing = [not text or text.startswith("n/a") for text in texts]
    assert missing == sorted(missing)
    return [float(text.split()[0]) for text, none in zip(texts, missing, strict=True) if not none]


def test_thousands_sort_as_numbers(invented: Path, opens: Opens) -> None:
    page, table = opens(invented), "#table-coverage"
    show(page, page.locator(".view", has=page.locator(table)).get_attribute("id") or "")
    given = ["1,000", "20", "12,345,678", "n/a", "300"]
    page.evaluate(
        """([table, given]) => document.querySelectorAll(`${table} tbody tr`).forEach((row, number) => {
             if (number < given.length) row.cells[row.cells.length - 2].textContent = given[number];
             else row.remove();
           })""",
        [table, given],
    )
    page.locator(f"{table} th button").nth(-2).click()
    shown = page.locator(f"{table} tbody tr > :nth-last-child(2)").all_inner_texts()
    assert shown in (["20", "300", "1,000", "12,345,678", "n/a"], ["12,345,678", "1,000", "300", "20", "n/a"])


def test_a_table_sorts_by_number_by_name_and_by_distance_to_the_ideal(swept: Path, opens: Opens) -> None:
    page, table = opens(swept), "#table-digits-smallnet"
    show(page, "digits-smallnet")
    assert page.title().startswith("Digits, ") or page.title().startswith("digits, ")
    button = page.locator(f"{table} th button", has_text="seconds")
    button.focus()
    page.keyboard.press("Space")
    values = numbers(column(page, table, "seconds"))
    assert values == sorted(values) and len(set(values)) > 1
    page.keyboard.press("Enter")
    assert numbers(column(page, table, "seconds")) == sorted(values, reverse=True)
    assert page.locator(f"{table} th[aria-sort='descending']").count() == 1
    page.locator(f"{table} th button", has_text="RR").click()
    distances = [abs(value - 1) for value in numbers(column(page, table, "RR"))]
    assert distances == sorted(distances) and max(distances) > 0
    page.locator(f"{table} th button", has_text="Indisc").click()
    best_first = numbers(column(page, table, "Indisc"))
    assert best_first == sorted(best_first, reverse=True)
    page.locator(f"{table} th button", has_text="method").click()
    names = column(page, table, "method")
    assert names == sorted(names, key=str.casefold)
    assert {"FT", "CT", "MSG", "original", "retrained", "no difference"} == set(names)


def test_filters_leave_what_was_chosen_in_no_time(invented: Path, opens: Opens) -> None:
    page = opens(invented)
    assert page.locator(".set:visible").count() == 2
    assert "2 of 2" in page.locator("#shown").inner_text()
    assert page.locator("[data-filter]").count() == 1, "a filter with one option is none"
    page.select_option("[data-filter=method]", "msg")
    shown = page.locator(".set:visible").first
    assert shown.locator("tbody tr:visible").count() == 1 and shown.locator("tfoot tr:visible").count() == 2
    assert shown.locator(".plot a:visible").count() == 1
    taken = page.evaluate(
        """() => { const one = document.querySelector('[data-filter=method]'), start = performance.now();
             one.value = ''; one.dispatchEvent(new Event('change')); document.body.offsetHeight;
             return performance.now() - start; }"""
    )
    assert shown.locator("tbody tr:visible").count() == len(METHODS)
    assert taken < 1000, "milliseconds; scripts/bench_page.py measures 10,000 rows"


def test_two_protocols_are_told_apart_by_name(invented: Path, opens: Opens) -> None:
    titles = opens(invented).locator(".set h2").all_inner_texts()
    assert {title.rpartition(", ")[2] for title in titles} == {"paper protocol", "heldout protocol"}


def test_headers_explain_themselves(swept: Path, opens: Opens) -> None:
    page = opens(swept)
    titles = page.locator("#table-digits-smallnet th abbr", has_text="RetDev").first.get_attribute("title")
    assert titles is not None and "Reference" in titles


# --------------------------------------------------------------------------------------------------------------- views


def test_a_click_opens_a_method_and_back_returns(swept: Path, opens: Opens) -> None:
    page = opens(swept)
    assert page.locator(".view.shown").count() == 1
    page.locator(".summary a", has_text="MSG").first.click()
    page.wait_for_selector("#method-msg.shown")
    assert page.title().startswith("MSG") and page.evaluate("scrollY") == 0
    assert "init_rate" in page.locator(".view.shown").inner_text()
    page.go_back()
    page.wait_for_selector("#summary.shown")
    page.locator(".plot a[data-method=ft] circle").first.click()
    page.wait_for_selector("#method-ft.shown")


def test_the_first_key_leads_past_the_menu(swept: Path, opens: Opens) -> None:
    page = opens(swept)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'main'")
    assert page.locator("#summary.shown").count() == 1


def test_light_and_dark(swept: Path, opens: Opens) -> None:
    page = opens(swept)
    show(page, "digits-smallnet")

    def brightness(what: str) -> float:
        colour = page.evaluate(
            f"getComputedStyle(document.querySelector('{what}')).{'fill' if 'text' in what else 'backgroundColor'}"
        )
        return sum(float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3

    text = ".drawing svg text"
    assert brightness("body") > 200 and brightness(text) < 80
    page.click("#theme")
    assert brightness("body") < 80 and brightness(text) > 200, "figures follow the page"
    page.click("#theme")
    page.emulate_media(color_scheme="dark")
    assert brightness("body") > 200, "what was chosen stays"


def test_every_seed_can_be_downloaded_with_and_without_scripts(invented: Path, opens: Opens) -> None:
    read = {}
    for scripts in (True, False):
        page = opens(invented, scripts=scripts)
        with page.expect_download() as caught:
            page.locator(".set a.download").first.click()
        content = Path(caught.value.path()).read_bytes()
        assert caught.value.suggested_filename.endswith(".csv" if scripts else ".csv.gz")
        read[scripts] = pd.read_csv(io.BytesIO(content if scripts else gzip.decompress(content)))
    pd.testing.assert_frame_equal(read[True], read[False])
    assert len(read[True]) == SEEDS * (len(METHODS) + 2) and set(read[True]["method"]) > set(METHODS)


def test_printed_it_is_the_summary(invented: Path, opens: Opens) -> None:
    page = opens(invented)
    pages = re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4", landscape=True))
    assert 1 <= len(pages) <= 5, "two sets of nineteen methods"


def test_it_can_be_read_without_scripts(swept: Path, opens: Opens) -> None:
    page = opens(swept, scripts=False)
    assert page.locator("#method-ft").is_visible() and page.locator("#glossary").is_visible()
    assert page.locator("nav").is_visible() and not page.locator("#menu").is_visible()
    assert not page.locator(".filters").is_visible()
