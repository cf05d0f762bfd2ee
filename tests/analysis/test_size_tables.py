"""The tables over sizes say in words what `sizes` found."""

from __future__ import annotations

import pandas as pd
import pytest

from deepunlearn.analysis import records
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.size_tables import size_tables
from tests.analysis.conftest import Shelf
from tests.analysis.test_sizes import at, fill


def tables_of(shelf: Shelf) -> dict[str, Table]:
    found = records.collect(shelf.root)
    return {table.name: table for table in size_tables(found.rows, found.cases, "")}


@pytest.fixture(scope="module")
def five_seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    """MSG was run at 20 samples alone."""
    shelf = Shelf(tmp_path_factory.mktemp("sizes") / "results")
    fill(shelf)
    for seed in range(5):
        shelf.add(**at(20, 1, result_set="6" * 16, method="msg", method_title="MSG", seed=seed, gap=0.5))
    return tables_of(shelf)


def lines(table: Table, by: str) -> pd.DataFrame:
    return table.shown.set_index(by)


def test_each_size_has_its_order_and_how_sure_it_is(five_seeds: dict[str, Table]) -> None:
    table = five_seeds["sizes-digits-resnet18"]
    shown = lines(table, "samples")
    assert list(shown.index) == ["1", "20", "600"] and shown.loc["600", "share"] == "50 %"
    assert shown.loc["1", "best first, by gap"] == "FT 0.102, GA 0.204 ‡, CT 0.302 ‡"
    assert shown.loc["20", "not usable"] == "GA (1/5)" and shown.loc["1", "not usable"] == "none"
    assert shown.loc["1", "best first, by Indisc"].startswith("n/a: attack n/a: 1 sample is forgotten")
    assert shown.loc["1", "attack"] == "n/a" and shown.loc["20", "attack"].startswith("Indisc 0.864 (> 0.700)")
    assert "since RetDev is not defined" in table.caption
    assert shown.loc["1", "how sure"].startswith("The place of 3 of 3 methods")
    data = table.data.set_index(["samples", "method"])
    assert data.loc[(600, "ga"), "gap_place"] == 2 and pd.isna(data.loc[(20, "ga"), "gap_place"])


def test_two_seeds_give_an_order_and_no_certainty(shelf: Shelf) -> None:
    fill(shelf, seeds=2)
    shown = lines(tables_of(shelf)["sizes-digits-resnet18"], "samples")
    assert "‡" not in shown.loc["1", "best first, by gap"]
    assert "it needs 5 seeds" in shown.loc["1", "how sure"]


def test_limits_are_said_with_the_seeds_behind_them(five_seeds: dict[str, Table]) -> None:
    shown = lines(five_seeds["sizes-limits-digits-resnet18"], "method")
    assert shown.loc["FT", "stops being usable at"] == "never at 1 to 600 samples"
    assert shown.loc["GA", "stops being usable at"] == "20 samples (usable again at 600)"
    assert shown.loc["GA", "usable there"] == "1 of 5 (a share of 0.01 to 0.72)"
    assert shown.loc["CT", "why"] == "5 not usable: TA is near chance"
    assert shown.loc["MSG", "stops being usable at"].startswith("cannot tell: not run")


def test_accuracies_stand_with_exact_intervals(five_seeds: dict[str, Table]) -> None:
    shown = lines(five_seeds["sizes-accuracy-digits-resnet18"], "method")
    assert list(shown.index) == ["original", "retrained", "CT", "FT", "GA", "MSG"]
    assert shown.loc["FT", "1"] == "1.000 [0.03, 1.00]" and shown.loc["retrained", "20"] == "0.900 [0.68, 0.99]"
    assert shown.loc["CT", "600"] == "n/a"
