"""What a real kernel shows of work in a cell: a picture that is drawn anew, or a few lines."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from rich.text import Text

from deepunlearn.core.notebook import as_html
from deepunlearn.core.progress import HINT

SETTING = """
import contextlib, gc, io, os, sys, time
from deepunlearn.core.progress import CELL_SECONDS, LOG_SECONDS, Board, Progress

def work(progress, seconds=1.3):
    with progress.showing(Board(["digits/smallnet"], {(0, "search"): 3}, {}, {(0, "search"): 30.0})):
        with progress.bar("seed 0: epoch", 2) as bar:
            for epoch in range(2):
                time.sleep(seconds / 2)
                bar.advance(note=f"loss {epoch}")
                progress.say(f"line {epoch}")
                print("printed", epoch)
"""
OPEN = """
from ipywidgets import HTML
print([one.value for one in gc.get_objects() if isinstance(one, HTML) and one.comm])
"""
INTERRUPTED = """
import _thread, threading
threading.Timer(1.0, _thread.interrupt_main).start()
try:
    work(Progress(), seconds=20)
except KeyboardInterrupt:
    print("interrupted")
"""
REDIRECTED = """
with contextlib.redirect_stderr(io.StringIO()) as kept:
    work(Progress())
print(kept.getvalue().count("line"), Progress(quiet=True).live, Progress(io.StringIO()).live)
"""
OTHER_PROCESS = """
!"{sys.executable}" -c "from deepunlearn.core.progress import Progress; print(Progress().live)"
"""
QUICK = """
work(Progress(), seconds=0.1)
print(Progress().live, Progress().log_seconds == CELL_SECONDS > LOG_SECONDS)
"""
LESS = "os.environ['NO_COLOR'] = '1'\nwork(Progress())\ndel os.environ['NO_COLOR']"
PLAIN = """
sys.modules["ipywidgets"] = None  # as if it were not installed: any import of it fails
progress = Progress()
work(progress, seconds=0.1)
work(progress, seconds=0.1)
"""


def run(folder: Path, sources: Sequence[str]) -> Any:
    """A notebook of these cells, which a kernel has run."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in sources])
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    return notebook


def written(cell: Any, stream: str) -> list[str]:
    """The lines that a cell wrote, without times of the day."""
    text = "".join(output.text for output in cell.outputs if output.get("name") == stream)
    return [re.sub(r"^\[\d\d:\d\d:\d\d\] ", "", line) for line in text.splitlines()]


def shown(cell: Any) -> list[dict[str, Any]]:
    """What a cell shows that is no line, by type."""
    return [dict(output.data) for output in cell.outputs if output.output_type != "stream"]


GONE = [{"text/plain": ""}]  # what a picture leaves in the cell that it was in


def pictures(notebook: Any) -> list[str]:
    """The last text of each widget; a notebook keeps their states by itself, in the order of their making."""
    states = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    values = [one["state"]["value"] for one in states if one["model_name"] == "HTMLModel"]
    return [html.unescape(re.sub("<[^>]*>", "", value)) for value in values]


NAMES = ["setting", "live", "open", "quick", "interrupted", "open again", "redirected", "other", "less", "plain"]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Any:
    cells = [SETTING, "work(Progress())", OPEN, QUICK, INTERRUPTED, OPEN, REDIRECTED, OTHER_PROCESS, LESS, PLAIN]
    return run(tmp_path_factory.mktemp("notebook"), cells)


def cell_of(notebook: Any, name: str) -> Any:
    return notebook.cells[NAMES.index(name)]


def test_a_picture_is_drawn_anew_and_lines_come_below_it(notebook: Any) -> None:
    cell = cell_of(notebook, "live")
    drawn = pictures(notebook)[0].splitlines()
    assert drawn[0].split() == ["cell", "search"] and drawn[1].split() == ["digits/smallnet", "0/3"]
    assert drawn[2].startswith("1 worker, ") and re.match(r"seed 0: epoch .* 1/2 .*loss 0", drawn[3])
    assert written(cell, "stderr") == ["line 0", "line 1"], "none is wiped out by the next picture"
    assert written(cell, "stdout") == ["printed 0", "printed 1"]
    assert shown(cell) == GONE and written(cell_of(notebook, "open"), "stdout") == ["[]"]


def test_what_is_quick_shows_no_picture(notebook: Any) -> None:
    cell = cell_of(notebook, "quick")
    assert not shown(cell) and written(cell, "stdout")[-1] == "True True"


def test_the_picture_goes_where_the_work_is_interrupted(notebook: Any) -> None:
    cell = cell_of(notebook, "interrupted")
    assert shown(cell) == GONE and len(pictures(notebook)) == 2, "the one before, and this"
    assert written(cell, "stdout") == ["interrupted"]
    assert written(cell_of(notebook, "open again"), "stdout") == ["[]"]


def test_without_the_extra_there_are_lines_and_one_hint(notebook: Any) -> None:
    cell = cell_of(notebook, "plain")
    assert written(cell, "stderr") == [HINT, "line 0", "line 1", "line 0", "line 1"]
    assert not shown(cell) and "deepunlearn[notebook]" in HINT


def test_who_asks_for_less_gets_lines_alone(notebook: Any) -> None:
    cell = cell_of(notebook, "less")
    assert written(cell, "stderr") == ["line 0", "line 1"] and not shown(cell)


def test_what_is_not_written_into_the_cell_has_no_picture_in_it(notebook: Any) -> None:
    """Redirected output, none at all, and that of another process, which has a terminal that nobody sees."""
    redirected, other = cell_of(notebook, "redirected"), cell_of(notebook, "other")
    assert not shown(redirected) and written(redirected, "stdout")[-1] == "2 False False"
    assert not shown(other) and written(other, "stdout") == ["False"]


@pytest.mark.slow
def test_a_sweep_in_a_cell_shows_its_board(tmp_path: Path) -> None:
    small = "arch=smallnet method=ft search=none seeds=1 train.epochs=30 dataset.limit=600 runtime.threads=1"
    notebook = run(tmp_path, [f"%run -m deepunlearn sweep {small}"])
    (drawn,) = pictures(notebook)
    assert re.search(r"cell +reference +evaluate", drawn) and re.search(r"digits/smallnet +\d/2 +\d/3", drawn)
    assert any("trained 30 epochs" in line for line in written(notebook.cells[0], "stderr"))
    assert any(line.startswith("done in") for line in written(notebook.cells[0], "stdout"))


def test_a_picture_is_what_a_terminal_shows_of_it() -> None:
    drawn = as_html(Text("a < b", style="red"))
    assert drawn.startswith("<pre") and re.search(r'<span style="color: #[0-9a-f]{6}.*">a &lt; b</span>', drawn)
