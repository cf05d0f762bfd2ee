"""The rows of each model as CSV, and the page that explains the columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd

from deepunlearn.analysis.seed_rows import FILE, PAGE
from deepunlearn.metrics.row import MEANINGS
from deepunlearn.tables import main

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf


def test_each_model_that_counts_has_a_line_with_what_its_row_says(shelf: Shelf) -> None:
    shelf.references(0, 1)
    shelf.add(seed=0, RetDev=0.125, date="2026-01-01T00:00:00+00:00")
    shelf.add(seed=0, RetDev=0.25)
    shelf.add(seed=1, RetDev=None, usable=False, reason='broken, "badly"')
    assert main([f"results={shelf.root}"]) == 0
    kept = pd.read_csv(shelf.root / "tables" / FILE)
    assert kept["method"].tolist().count("ft") == 2 and len(kept) == 6
    one, other = (kept[(kept["method"] == "ft") & (kept["seed"] == seed)].iloc[0] for seed in (0, 1))
    assert one["RetDev"] == 0.25, "the later row counts"
    assert pd.isna(other["RetDev"]) and other["reason"] == 'broken, "badly"'
    scores = pd.read_csv(shelf.root / "tables" / "digits-resnet18.csv").set_index("method")
    assert scores.loc["ft", "RetDev_mean"] == one["RetDev"]


def test_the_page_explains_every_column(shelf: Shelf) -> None:
    shelf.add()
    assert main([f"results={shelf.root}"]) == 0
    page = (shelf.root / "tables" / PAGE).read_text(encoding="utf-8")
    explained = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    assert list(explained) == list(pd.read_csv(shelf.root / "tables" / FILE))
    assert all(explained[name] == meaning.replace("|", "\\|") for name, meaning in MEANINGS.items())
