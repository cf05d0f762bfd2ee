"""The table of defaults: where it stands, and what it calls a method that does not work."""

from __future__ import annotations

import pandas as pd
import pytest

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
