"""The pages of docs and the others that readers are told things in: where they are, and what stands in them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
PLUGIN = ROOT / "examples" / "plugin"
TOLD = [  # whose commands are read
    *PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md", PLUGIN / "README.md"
]  # fmt: skip


def title(path: Path) -> str:
    """Of a page, in the names of tests and in messages."""
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    """Those of a page in this language (a regular expression)."""
    fenced = re.compile(rf"^( *)```(?:{language})\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(text) for _, text in fenced.findall(text_of(path))]


def sentences(path: Path) -> str:
    """A page without its blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text_of(path), flags=re.DOTALL | re.MULTILINE)
