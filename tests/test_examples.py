"""What is committed of results, and what the README shows of it, is what the committed records give."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.tables import main
from scripts import example, readme

DELETIONS = example.ROOT / "results" / "deletions"
REMAKE = "stale: run `make example readme`, look at what changed, and commit it"


def test_the_readme_shows_the_tables_of_the_committed_records() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert text.count("<!-- table of the findings -->") == text.count("<!-- front table -->") == 1
    assert readme.with_tables(text) == text, REMAKE


def test_the_readmes_pictures_are_of_the_committed_page_and_records() -> None:
    text = readme.README.read_text(encoding="utf-8")
    for what in ("page", "findings"):
        assert text.count(f"<!-- picture of the {what} with SHA-256 ") == 1
    assert readme.with_digests(text) == text, REMAKE


def test_the_page_is_of_the_committed_records() -> None:
    assert example.MADE_FROM.read_text(encoding="utf-8") == example.digest(), REMAKE


def test_the_page_is_small_and_holds_no_pictures_of_dots() -> None:
    text = (example.PAGE / "index.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    assert "<image" not in text and "image/png" not in text


@pytest.mark.slow
def test_the_tables_are_of_the_committed_records(tmp_path: Path) -> None:
    assert main([f"results={tmp_path}", f"records={example.SHOWN}"]) == 0
    made = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "tables").iterdir()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in (example.SHOWN / "tables").iterdir()}
    assert made == kept, REMAKE


@pytest.mark.slow
def test_tables_of_deletions_are_of_the_committed_records(tmp_path: Path) -> None:
    assert main([f"results={tmp_path}", f"records={DELETIONS}"]) == 0
    made = {row for path in (tmp_path / "tables").glob("*.md") for row in _rows(path)}
    shown = _rows(DELETIONS / "README.md")
    assert len(shown) > 20 and [row for row in shown if row not in made] == []


def _rows(page: Path) -> list[str]:
    """Lines of tables, without what aligns them."""
    lines = [" ".join(line.split()) for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [line for line in lines if set(line) - set("|:- ")]


def test_what_is_generated_is_not_committed_twice() -> None:
    """One page, and the tables of one set; of the others what they are made from."""
    files = (path for path in example.EXAMPLES.rglob("*") if path.is_file())
    folders = {path.parent.relative_to(example.EXAMPLES).as_posix() for path in files}
    records = {f"{name}/records" for name in example.SETS}
    hparams = {name for name in example.SETS if (example.EXAMPLES / name / "hparams.yaml").exists()}
    assert folders == {"page", "slurm-smoke", f"{example.SHOWN.name}/tables", *records, *hparams}
