"""The docs: pages, the reference of options, the built site, and the YAML and Python that pages show."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deepunlearn
from deepunlearn.config import read_command
from deepunlearn.core.words import COLUMNS
from tests import option_list
from tests.pages import PAGES, ROOT, TOLD, blocks, text_of, title

# --------------------------------------------------------------------------------------------------------------- prose


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of the lines of a page that are no code, no row of a table, and not one link or picture alone."""
    inside = False
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        fence = line.lstrip().startswith("```")
        inside ^= fence
        if not (fence or inside or line.lstrip().startswith("|") or ALONE.fullmatch(line)):
            yield number, line


ALONE = re.compile(r"\s*(?:[-*] )?!?\[[^\]]*\]\([^)]*\)[.,;]?")


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda path: path.stem)
def test_lines_of_prose_have_a_hundred_columns_at_most(path: Path) -> None:
    assert not [number for number, line in prose(path) if len(line) > COLUMNS]


# ------------------------------------------------------------------------------------------------------ configuration


def test_the_reference_of_options_is_current_and_explains_each() -> None:
    page = option_list.page()
    assert text_of(option_list.PAGE) == page, "run python -m tests.option_list and commit docs/configuration.md"
    cells = [re.split(r" *\| ", row.strip("| ")) for row in page.splitlines() if row.startswith("| `")]
    options = [row for row in cells if len(row) >= 3]
    assert len(options) > 100
    assert not [row for row in options if len(row) == 3], "say behind a # in conf/ or the schema what it is"
    assert not [row for row in options if row[1] == "value"], "option_list has no word for this type"
    absent = {row[0] for row in options if "null" in row[2] and "null" not in row[1]}
    assert absent == {"`forget.file`", "`forget.where`"}, "of all others null is a value: say so in option_list"
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


# ------------------------------------------------------------------------------------------------------ what pages show


def test_files_of_sweeps_and_searches_that_the_guide_shows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, search = blocks(ROOT / "docs" / "sweeps.md", "yaml")
    (tmp_path / "mine" / "search").mkdir(parents=True)
    (tmp_path / "guide.yaml").write_text(sweep)
    (tmp_path / "mine" / "search" / "small.yaml").write_text(search)
    monkeypatch.chdir(tmp_path)
    told = read_command(["sweep=guide.yaml"]).sweep
    assert ([one.name for one in told.cells], [one.name for one in told.methods]) == (
        ["digits/smallnet"],
        ["ft", "msg"],
    )
    small = ["dataset=digits", "arch=smallnet", "method=ft", "search=small"]
    assert read_command(["--config-dir", "mine", *small]).sweep.search.trials == 20


PYTHON = [(path, number, text) for path in TOLD for number, text in enumerate(blocks(path, "python"))]


@pytest.mark.parametrize(
    ("path", "number", "text"), PYTHON, ids=[f"{path.stem}-{number}" for path, number, _ in PYTHON]
)
def test_python_that_a_page_shows_names_what_there_is(path: Path, number: int, text: str) -> None:
    """It is compiled; what it takes from this package is there, and so are the options it calls its functions with."""
    tree = ast.parse(text)
    compile(tree, f"{title(path)}, block {number}", "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "deepunlearn":
            module = importlib.import_module(str(node.module))
            assert not [one.name for one in node.names if not hasattr(module, one.name)]
        elif isinstance(node, ast.Import):
            for name in (one.name for one in node.names if one.name.startswith("deepunlearn.")):
                importlib.import_module(name)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("deepunlearn."):
            called = getattr(deepunlearn, ast.unparse(node.func).removeprefix("deepunlearn."))
            inspect.signature(called).bind_partial(*node.args, **{str(one.arg): None for one in node.keywords})
