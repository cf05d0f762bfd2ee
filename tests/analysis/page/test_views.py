"""What stands behind the summary: nothing twice, nothing that tells nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from deepunlearn.analysis import tables
from deepunlearn.analysis.glossary import terms
from deepunlearn.analysis.page.result_sets import result_sets
from deepunlearn.analysis.page.sheets import Printer
from deepunlearn.analysis.page.views import View, over_cells, views
from deepunlearn.analysis.ranking import rankings
from deepunlearn.analysis.records import collect
from deepunlearn.analysis.render import Table
from deepunlearn.metrics.catalogue import BUILT_IN

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf

OTHER = {"cell": "d" * 16, "dataset": "mnist", "dataset_title": "MNIST"}


def fill(shelf: Shelf, *cells: dict[str, str]) -> None:
    """Two methods with hyper-parameters of each cell's own."""
    for number, cell in enumerate(cells):
        shelf.references(0, 1, **cell)
        own = {**cell, "result_set": f"{number:016x}"}
        for seed in (0, 1):
            shelf.add(seed=seed, RetDev=0.1 + seed / 100, params=f'{{"lr": 0.{number + 1}}}', **own)
            shelf.add(method="ct", method_title="CT", seed=seed, RetDev=0.5 + seed / 100, **own)


def behind(shelf: Shelf) -> dict[str, View]:
    records = collect(shelf.root)
    ranked = rankings(records.rows, records.cases)
    made = tables.build(records, ranked)
    printer = Printer({}, terms(records.catalogue), records.catalogue)
    return {view.name: view for view in views(result_sets(records), ranked, made, [], printer)}


@pytest.mark.slow
@pytest.mark.parametrize(("cells", "told"), [(({},), False), (({}, OTHER), True)])
def test_a_ranking_of_one_cell_is_the_summarys(shelf: Shelf, cells: tuple[dict[str, str]], told: bool) -> None:
    fill(shelf, *cells)
    names = {sheet.name for sheet in behind(shelf)["over-cells"].sheets}
    assert ("ranking" in names) == told and ("groups" in names) == told
    assert "reliability" in names and "differences" not in names, "2 seeds test nothing"


@pytest.mark.slow
def test_hyper_parameters_and_conditions_are_of_the_own_set(shelf: Shelf) -> None:
    fill(shelf, {}, OTHER)
    made = behind(shelf)
    for name, lr in (("digits-resnet18", "lr=0.1"), ("mnist-resnet18", "lr=0.2")):
        values = next(sheet for sheet in made[name].sheets if sheet.title == "Hyper-parameters")
        cells = {cell.text for line in values.lines for cell in line}
        assert lr in cells and not cells & {"lr=0.1", "lr=0.2"} - {lr}
        assert {"result set", "dataset"}.isdisjoint(header.text for header in values.headers)
    assert made["mnist-resnet18"].facts["dataset"] == "MNIST" and made["mnist-resnet18"].facts["seeds"] == "0-1"


@pytest.mark.slow
def test_only_what_is_listed_has_a_short_name(shelf: Shelf) -> None:
    fill(shelf, {}, OTHER)
    assert {view.short for view in behind(shelf).values()} == {"Over cells", "Coverage", ""}


def test_tests_that_tell_something_stay() -> None:
    def table(name: str, *verdicts: str) -> Table:
        data = pd.DataFrame({"verdict": verdicts})
        return Table(name, name, "", data, data)

    some, none = table("neighbours", "not testable", "differ"), table("differences", "best", "not testable", "equal")
    assert over_cells([some, none], []) == [some]


def test_sizes_and_rounds_have_views_of_their_own() -> None:
    data = pd.DataFrame({"method": ["FT"]})
    made = [Table(name, name, "", data, data) for name in ("sizes-x", "rounds-seconds-x", "reliability")]
    found = views([], [], made, [], Printer({}, (), BUILT_IN))
    assert [(view.name, [sheet.name for sheet in view.sheets]) for view in found] == [
        ("over-cells", ["reliability"]), ("over-sizes", ["sizes-x"]), ("over-rounds", ["rounds-seconds-x"]),
    ]  # fmt: skip
    assert [view.short for view in found] == ["Over cells", "Sizes", "Rounds"]
