"""The docs: pages, links, commands and the built site."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import option_list

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------------ configuration


def test_the_reference_of_options_is_current_and_explains_each() -> None:
    page = option_list.page()
    assert text_of(option_list.PAGE) == page, "run python -m tests.option_list and commit docs/configuration.md"
    cells = [re.split(r" *\| ", row.strip("| ")) for row in page.splitlines() if row.startswith("| `")]
    options = [row for row in cells if len(row) >= 3]
    assert len(options) > 100
    assert not [row for row in options if len(row) == 3], "say behind a # in conf/ or the schema what it is"
    assert not [row for row in options if row[1] == "value"], "option_list has no word for this type"
    assert "PydanticUndefined" not in page


# ---------------------------------------------------------------------------------------------------------------- site


@pytest.mark.slow
def test_the_site_is_built_strictly_and_holds_every_page(tmp_path: Path) -> None:
    """A link to a page, a file or a heading that is not there fails the build. Nothing is fetched to show the site."""
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {page.stem for page in PAGES} == {"index", *(path.parent.name for path in tmp_path.glob("*/index.html"))}
    fetched = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^\s\">]+")
    assert not [found for path in tmp_path.rglob("*.html") for found in fetched.findall(text_of(path))]
    api = text_of(tmp_path / "api" / "index.html")
    assert "hyper_parameters" in api and "Raises ConfigError for unknown names" in api
