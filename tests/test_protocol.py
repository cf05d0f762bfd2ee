"""References to the protocol lead somewhere: a section that exists, in a page that is linked from the README."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "protocol.md"
REFERENCE = re.compile(r"protocol(?:'s)?,? section[s]? (\d+)")
LINK = re.compile(r"\]\(([\w./-]+\.md)(#[\w-]+)?\)")


def _texts() -> list[Path]:
    folders = ("deepunlearn", "conf", "docs", "scripts", "sweeps", "tests")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    return [*(path for path in paths if path.suffix in (".py", ".yaml", ".md")), ROOT / "README.md"]


def test_every_reference_to_the_protocol_names_a_section_of_its_page() -> None:
    sections = set(re.findall(r"^## (\d+)\. ", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    found = [(path, number) for path in _texts() for number in REFERENCE.findall(path.read_text(encoding="utf-8"))]
    assert len(found) > 20, "the pattern finds the references that there are"
    assert [one for one in found if one[1] not in sections] == []


def test_links_between_pages_lead_to_files() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "results" / "README.md"]
    broken = [
        (page.name, target)
        for page in pages
        for target, _ in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_page_is_found_from_the_readme_and_the_guide() -> None:
    assert "docs/protocol.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "protocol.md" in (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
