"""The table of defaults: where it stands, and what it calls a method that does not work."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from deepunlearn.core.paths import Results
from deepunlearn.core.store import FailureNote, Failures, Place
from scripts import defaults


def test_the_docs_have_a_place_for_the_table_and_nothing_else_of_them_changes() -> None:
    text = defaults.DOCS.read_text(encoding="utf-8")
    made = defaults.with_tables(text, "| made |")
    assert made.count("| made |") == 1 and made != text
    before, _, after = text.partition("<!-- defaults -->")
    assert made == f"{before}<!-- defaults -->\n| made |\n{after[after.index('<!-- end -->') :]}"
    assert all(line.strip() in before for line in (defaults.__doc__ or "").splitlines() if "python" in line)


@pytest.mark.parametrize(
    ("usable", "known", "moved", "told"),
    [(True, 0.8, 0.1, "works"), (False, 0.8, 0.1, "collapses (1 of 1)"), (True, 0.3, 0.1, "collapses (1 of 1)"),
     (True, 0.8, 0.0, "does nothing (1 of 1)")],
)  # fmt: skip
def test_a_verdict(usable: bool, known: float, moved: float, told: str) -> None:
    models = pd.DataFrame({"usable": [usable], "known": [known], "moved": [moved]}, index=[0])
    assert defaults.verdict(models, pd.DataFrame({"known": [0.7]}, index=[0])) == told


def test_an_ensemble_without_weights_of_the_original_has_no_change() -> None:
    numbers = dict.fromkeys(("RA", "FA", "TA", "Disc_AUC", "seconds"), 0.5)
    models = [{"method": name, "seed": 0, "moved": moved, "usable": True, "cell": "c", "TA_retained": None, **numbers}
              for name, moved in (("original", 0.0), ("retrained", 0.4), ("sisa", None))]  # fmt: skip
    lines = defaults.table(pd.DataFrame(models), {}).splitlines()
    assert [line.split(" | ")[6] for line in lines[2:]] == ["0", "0.4", "n/a"]


def test_a_method_without_a_row_says_why(tmp_path: Path) -> None:
    """A failure that was overcome since does not count."""
    kinds = {
        "ngplus": ("failed", "the loss is not finite\nmore"),
        "sisa": ("not_applicable", "too few"),
        "ft": ("failed", "x"),
    }
    failures, place = Failures(Results(tmp_path).store), Place("d", "a", "x", 0)
    for method, (kind, message) in kinds.items():
        note = FailureNote("evaluate", "d", "a", method, 0, "c", None, kind, "E", message, "", "2026")  # type: ignore[arg-type]
        failures.record(place, method, note)
    failures.settle(place, "ft", "overcome")
    told = {"ngplus": "breaks down: the loss is not finite", "sisa": "refuses: too few"}
    assert defaults.failed(tmp_path) == {("c", method): text for method, text in told.items()}
