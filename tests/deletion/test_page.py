"""The page of a deletion: everything of the report is on it, it is safe whatever a text holds, and it loads nothing."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from torch import nn

from deepunlearn.deletion.hashes import weights_sha256
from deepunlearn.deletion.page import VERIFY_IDS, VERIFY_WEIGHTS, render
from deepunlearn.deletion.report import NOT_SHOWN, Report
from deepunlearn.training import save_weights
from tests.deletion.example import FAILED, PASSED

HOSTILE = "<script>alert('x')</script><img src=x onerror=y>\"' {{ 7*7 }} {% raw %} &amp; \u202e ]]>"
PLAIN = ("name", "kind", "outcome", "listed_by", "made")  # fields that are not free text


class Read(HTMLParser):
    """Elements with their attributes, and the text outside of styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] != "style":
            self.said.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.said))


def with_texts(value: Any, change: Callable[[str], str], field: str = "") -> Any:
    """A report's values with every free text changed."""
    if isinstance(value, dict):
        return {key: with_texts(one, change, key) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [with_texts(one, change, field) for one in value]
    free = isinstance(value, str) and field not in PLAIN and not re.fullmatch("[0-9a-f]{64}", value)
    return change(value) if free else value


def hostile() -> Report:
    return Report.model_validate(with_texts(PASSED.model_dump(), lambda text: f"{text} {HOSTILE}"))


def test_the_page_has_the_whole_report() -> None:
    text = Read(render(PASSED)).text
    spoken: list[str] = []

    def noted(one: str) -> str:
        spoken.append(one)
        return one

    with_texts(PASSED.model_dump(), noted)
    missing = [one for one in spoken if one not in text]
    assert not missing
    for hashed in "abcdef":
        assert hashed * 64 in text, hashed
    assert "0.812 [0.695, 0.889]" in text and "20 against 1,800" in text and "11,181,642" in text
    assert "0.002 [-0.005, 0.009]" in text and "epochs=5, lr=0.01, batch_size=64" in text


def test_the_verdict_stands_before_everything_else() -> None:
    passed, failed = Read(render(PASSED)).text, Read(render(FAILED)).text
    assert passed.index("the new weights are written") < passed.index("What was asked")
    assert failed.index("A check failed: there are no new weights") < failed.index("What was asked")
    assert "the new weights are written" not in failed and failed.count("not written, as a check failed") == 2
    for text in (passed, failed):
        assert text.index("evidence and no proof") < text.index("What was asked")


def test_it_says_first_where_no_check_speaks_of_the_deleted_samples() -> None:
    """Passed are then checks of the other samples alone, which a model that forgot nothing passes as well."""
    checks = [
        one.model_copy(update={"outcome": "not judged"}) if one.name == "attack" else one for one in PASSED.checks
    ]
    text = Read(render(PASSED.model_copy(update={"checks": tuple(checks)}))).text
    assert text.index(NOT_SHOWN) < text.index("What was asked")
    assert NOT_SHOWN not in Read(render(PASSED)).text


def test_what_texts_hold_is_text() -> None:
    plain, read = Read(render(PASSED)), Read(render(hostile()))
    assert [tag for tag, _ in read.elements] == [tag for tag, _ in plain.elements]
    assert read.text.count("alert('x')") > 50 and "{{ 7*7 }}" in read.text and "49" not in read.text
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]


@pytest.mark.parametrize("report", [PASSED, FAILED, hostile()], ids=["passed", "failed", "hostile"])
def test_it_loads_nothing_and_runs_nothing(report: Report) -> None:
    page = render(report)
    read = Read(page)
    links = [
        value for _, own in read.elements for name, value in own.items() if name in ("href", "src", "data", "action")
    ]
    assert all(link is not None and (link.startswith("#") or link == "data:,") for link in links), links
    assert not {"script", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in read.elements}
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style
    policy = next(own["content"] for tag, own in read.elements if own.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'")


def test_links_within_the_page_lead_somewhere_and_names_are_there_once() -> None:
    read = Read(render(PASSED))
    names = [own["id"] for _, own in read.elements if "id" in own]
    assert len(names) == len(set(names))
    assert {own["href"] for tag, own in read.elements if tag == "a"} <= {f"#{name}" for name in names}


def test_a_report_without_choice_values_notes_or_sizes_is_shown_too() -> None:
    bare = FAILED.model_copy(
        update={
            "method": FAILED.method.model_copy(update={"values": {}, "choice": None}),
            "data": FAILED.data.model_copy(update={"image_size": None, "remarks": (), "validation": 30}),
        }
    )
    text = Read(render(bare)).text
    assert "Why this method" not in text and "What to know of the data" not in text
    assert "30 given to the method" in text and "Values none" in text


# ----------------------------------------------------------------------------------------- hashes that people can check


@pytest.mark.parametrize(
    ("listed_by", "content", "hashed"),
    [
        ("file", b"file\r\nb/2.png\r\na/10.png\r\nB/1.png", "B/1.png\na/10.png\nb/2.png\n"),
        ("id", b"id\n10\n9\n", "9\n10\n"),
    ],
)
def test_the_command_for_a_list_prints_its_hash(listed_by: str, content: bytes, hashed: str, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_bytes(content)
    done = subprocess.run(VERIFY_IDS[listed_by], shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == hashlib.sha256(hashed.encode()).hexdigest()


def test_the_lines_for_weights_print_the_hash_that_reports_have(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    save_weights(tmp_path / "model.safetensors", model)
    done = subprocess.run(
        [sys.executable, "-c", VERIFY_WEIGHTS], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == weights_sha256(model)


# ------------------------------------------------------------------------------------------------------------ a browser


@pytest.mark.slow
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_in_a_browser_it_is_silent_fits_the_screen_and_can_be_read_by_all(
    width: int, theme: Literal["light", "dark"], chromium: str, tmp_path: Path
) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=theme)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: requests.append(request.url))
        for report in (PASSED, FAILED, hostile()):
            (tmp_path / "report.html").write_text(render(report), encoding="utf-8")
            page.goto(f"file://{tmp_path}/report.html")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
        browser.close()
    assert not complaints and requests == [f"file://{tmp_path}/report.html"] * 3
