"""The notebooks of the docs, run from beginning to end in a kernel of their own."""

from __future__ import annotations

import re
import resource
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


PROMISED = 120  # seconds; of processors, as other programs on this machine make any clock on the wall late


def processor_seconds() -> float:
    """That all ended children of this process have taken, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def printed(notebook: Any) -> str:
    """All texts that its cells gave."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(str(output.get("text") or output.get("data", {}).get("text/plain")) for output in outputs)


def pictures(notebook: Any) -> int:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return sum("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)


def scores(notebook: Any) -> dict[str, list[float]]:
    """The table of section 4, by the name of the model."""
    names = re.compile(r"^(original|ft|ngplus|salun|retrained) ")
    lines = [line.split() for line in printed(notebook).splitlines() if names.match(line)]
    return {name: [float(value) for value in values] for name, *values in lines}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_what_its_text_says(path: Path, tmp_path: Path) -> None:
    stored = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    before = processor_seconds()
    NotebookClient(fresh, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert 0 < processor_seconds() - before < PROMISED
    assert pictures(fresh) == pictures(stored) == 2
    found = scores(fresh)
    assert list(found) == list(scores(stored)) == ["original", "ft", "ngplus", "salun", "retrained"]
    ra, fa, _, deviation, indisc, _ = zip(*found.values(), strict=True)
    assert min(ra) > 0.9, "all models are of use"
    assert fa[0] > 0.9 and fa[-1] < 0.65, "the original knows the wrong labels by heart, the retrained model cannot"
    assert all(value < deviation[0] for value in deviation[1:]), "each method comes nearer to the retrained model"
    assert indisc[-1] > 0.8 > indisc[0], "the attack finds what the original knows, and nothing in the retrained model"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_stored_has_no_errors_warnings_or_paths(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    text = path.read_text(encoding="utf-8")
    assert "stderr" not in text and "Traceback" not in text
    assert not re.search(r"(?:/home/|/root/|/tmp/|/work/|[A-Z]:\\\\)", text)
