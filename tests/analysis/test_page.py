"""The page as HTML: what it holds, that it needs nothing else, and that nothing in it is taken for markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deepunlearn.analysis.glossary import explain, terms, to_markdown
from deepunlearn.analysis.records import collect
from deepunlearn.cli import run_main
from deepunlearn.metrics.catalogue import BUILT_IN
from deepunlearn.report import main

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf

PACKED = "data:application/gzip;base64"
NASTY = '<script>alert("x")</script> & co'


class Page(HTMLParser):
    """Ids, links, what would be fetched, and the text of each view."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.fetched: list[str] = []
        self.scripts = 0
        self.views: dict[str, str] = {}
        self._view = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), "an attribute twice"
        own = {name: value or "" for name, value in attrs}
        self.ids += [own["id"]] if "id" in own else []
        self.links |= {own["href"]} if tag == "a" else set()
        self.fetched += [own[name] for name in ("src", "href", "xlink:href") if name in own and tag != "a"]
        self.scripts += tag == "script"
        if tag == "section" and "view" in own.get("class", "").split():
            self._view = own["id"]

    def handle_data(self, data: str) -> None:
        self.views[self._view] = self.views.get(self._view, "") + data


def fill(shelf: Shelf) -> None:
    shelf.references(0, 1)
    for seed in (0, 1):
        shelf.add(seed=seed)
        shelf.add(seed=seed, method="x", method_title=NASTY, params='{"kind": "<b>", "lr": 0.125}')
    shelf.add(method="iu", method_title="IU", seed=0, usable=False, reason="weights are not finite")
    shelf.expect("run1", {"method": "ct", "seed": 0}, {"method": "iu", "seed": 1})
    shelf.fail(method="ct", traceback="Traceback\n  <module>\nRuntimeError", message=f"out of memory {NASTY}")
    shelf.fail(method="iu", seed=1)


def page_of(shelf: Shelf, *options: str) -> Page:
    assert run_main(main, [f"results={shelf.root}", *options]) == 0
    return Page((shelf.root / "index.html").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_methods_of_others_are_shown_where_too_few_samples_are_forgotten_for_our_attack(
    shelf: Shelf, tmp_path: Path
) -> None:
    few = {"n_forget": 5, "reason": "attack n/a: 5 samples are forgotten, and it needs 10"}
    few |= dict.fromkeys(("MIA", "Disc", "Indisc", "MIA_AUC", "MIA_understated", "MIA_val", "Disc_val", "MIA_AUC_val"))
    shelf.add(**few)
    for name in ("original", "retrained"):
        shelf.add(method=name, method_title=name, **few)
    theirs = tmp_path / "theirs.csv"
    theirs.write_text(
        "method,dataset,arch,seed,RA,FA,TA,retrained_RA,retrained_FA,retrained_TA,MIA\n"
        "theirs,digits,resnet18,0,0.9,0.8,0.9,0.99,0.8,0.9,0.5\n"
    )
    page = page_of(shelf, f"extra={theirs}")
    assert "theirs" in page.views["summary"] and "shaded: where 95 %" not in page.views["summary"]


@pytest.mark.slow
def test_every_link_leads_somewhere_and_every_id_is_one(shelf: Shelf) -> None:
    fill(shelf)
    page = page_of(shelf)
    assert len(page.ids) == len(set(page.ids))
    inside = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert inside and inside <= set(page.ids)
    assert {link.partition(",")[0] for link in page.links if not link.startswith("#")} == {PACKED}
    assert {"summary", "digits-resnet18", "coverage", "methods", "method-ft", "method-ct", "glossary"} <= set(
        page.views
    )


@pytest.mark.slow
def test_nothing_is_fetched(shelf: Shelf) -> None:
    fill(shelf)
    page = page_of(shelf)
    assert all(target.startswith(("#", "data:")) for target in page.fetched)
    text = (shelf.root / "index.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.findall(r"url\((?!#)|@import|fetch\(|https?://(?!www\.w3\.org/)", text)


@pytest.mark.slow
def test_tables_are_whole(shelf: Shelf) -> None:
    fill(shelf)
    page_of(shelf)
    text = (shelf.root / "index.html").read_text(encoding="utf-8")
    for tag in ("table", "thead", "tbody", "tr", "th", "td"):
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>") > 0, tag


@pytest.mark.slow
def test_text_is_text(shelf: Shelf) -> None:
    fill(shelf)
    page = page_of(shelf)
    assert page.scripts == 1
    assert NASTY in page.views["coverage"]
    assert NASTY in page.views["methods"] and "<module>" in page.views["method-ct"]
    assert "<b>" in page.views["method-x"]


@pytest.mark.slow
def test_a_methods_view_holds_scores_winners_and_failures(shelf: Shelf) -> None:
    fill(shelf)
    views = page_of(shelf).views
    assert all(column.header in views["method-ft"] for column in collect(shelf.root).catalogue.shown)
    assert "0.01" in views["method-ft"] and "None." in views["method-ft"]
    assert "out of memory" in views["method-ct"] and "RuntimeError" in views["method-ct"]
    assert "weights are not finite" in views["method-iu"] and "None." not in views["method-iu"]
    assert "classical baseline" in views["method-ft"] and "not one of the methods" in views["method-x"]
    assert "failed or not usable" in views["methods"]


@pytest.mark.slow
def test_holes_are_refused_or_marked(shelf: Shelf) -> None:
    fill(shelf)
    shelf.expect("run2", {"method": "ga"})
    assert run_main(main, [f"results={shelf.root}"]) == 2
    assert not (shelf.root / "index.html").exists()
    assert "1 missing" in page_of(shelf, "partial=true").views["summary"]


@pytest.mark.slow
def test_records_alone_make_the_same_page(shelf: Shelf, tmp_path: Path) -> None:
    fill(shelf)
    page = page_of(shelf)
    assert run_main(main, [f"records={shelf.root}", f"results={tmp_path / 'elsewhere'}"]) == 0
    copy = Page((tmp_path / "elsewhere" / "index.html").read_text(encoding="utf-8"))
    assert copy.views == page.views
    assert {path.suffix for path in (tmp_path / "elsewhere" / "figures").iterdir()} == {".pdf", ".md"}


@pytest.mark.slow
def test_old_figures_do_not_stay(shelf: Shelf) -> None:
    fill(shelf)
    page_of(shelf)
    before = {path.name for path in (shelf.root / "figures").iterdir()}
    shelf.add(result_set="1" * 16, seconds=3.0)
    page_of(shelf)
    after = {path.name for path in (shelf.root / "figures").iterdir()}
    assert "seconds-digits-resnet18.pdf" in before - after


@pytest.mark.parametrize("header", [column.header for column in BUILT_IN.shown])
def test_every_score_is_explained(header: str) -> None:
    assert "Reference:" in explain(header, terms())


def test_explanations_belong_to_their_headers() -> None:
    assert explain("RetDev ↓ (best 0)", terms()).startswith("RetDev: abs(RR - 1)")
    assert explain("Indisc G1", terms()).startswith("Disc, Indisc") and explain("method", terms()) == ""
    assert len({name for term in terms() for name in term.names}) == sum(len(term.names) for term in terms())


def test_the_guide_has_the_glossary() -> None:
    assert to_markdown() in (Path(__file__).parents[2] / "docs" / "scores.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("option", "allowed"),
    [("figures.width=5", "3.3, 6.8"), ("figures.width=3.30", "3.3, 6.8"), ("format=jpg", "pdf, svg, png")],
)
def test_another_width_or_format_is_refused_before_anything_is_read(
    option: str, allowed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(main, [option, f"results={tmp_path / 'none'}"]) == 2
    said = capsys.readouterr().err
    assert option in said and allowed in said and "no results" not in said
