"""The tables over rounds say in words what `rounds` found."""

from __future__ import annotations

import pandas as pd
import pytest

from deepunlearn.analysis import records
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.round_tables import round_tables
from deepunlearn.metrics.catalogue import BUILT_IN
from tests.analysis.conftest import Shelf
from tests.analysis.test_rounds import BROKEN, fill

FA_EARLIER = BUILT_IN["FA_earlier"].header

Shown = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> records.Records:
    shelf = Shelf(tmp_path_factory.mktemp("rounds") / "results")
    fill(shelf)
    return records.collect(shelf.root)


@pytest.fixture(scope="module")
def five(held: records.Records) -> Shown:
    """By name, what the tables of five seeds show, by method."""
    return shown(held.rows, held.cases)


@pytest.fixture(scope="module")
def four(held: records.Records) -> Shown:
    return shown(held.rows[held.rows["seed"] < 4], held.cases[held.cases["seed"] < 4])


def shown(rows: pd.DataFrame, cases: pd.DataFrame) -> Shown:
    made: list[Table] = round_tables(rows, cases, "")
    assert all(table.title.startswith("Digits, ResNet18, random 10 % in 3 requests: ") for table in made)
    assert all(table.name.endswith("-digits-resnet18") for table in made)
    return {table.name.split("-")[1]: table.shown.set_index("method") for table in made}


def test_each_question_has_its_verdict_with_the_interval(five: Shown) -> None:
    table = five["verdicts"]
    assert table.loc["FT", "earlier requests"] == "comes back: +0.100 [+0.098, +0.102]"
    assert table.loc["FT", "attack on them"] == "more than in retrained models: +0.200 [+0.200, +0.200]"
    assert table.loc["CT", "retain accuracy"] == "erodes: -0.050 [-0.052, -0.048]"
    assert table.loc["GA"].tolist() == ["F from round 2 (4/5)", BROKEN, BROKEN, BROKEN]


def test_four_seeds_are_refused(four: Shown) -> None:
    assert four["verdicts"].loc["FT", "earlier requests"] == "cannot tell: needs 5 seeds, has 4: +0.100"
    assert "±" in four["scores"].loc["FT", FA_EARLIER].iloc[1]


def test_the_round_from_which_retraining_is_cheaper_is_named(five: Shown) -> None:
    table = five["seconds"]
    assert table.loc["FT"].tolist() == ["9.00", "21.00", "6.00", "never in these 3 rounds", "round 3", *[""] * 4]
    assert table.loc["CT", "each time cheaper from"] == "round 2 (seeds: 1 to 2)"
    assert table.loc["CT"].tolist()[-4:] == ["2.50", "6.50", "round 1", "round 1"]
    assert table.loc["GA", "once cheaper from"] == BROKEN


def test_scores_of_each_round_have_intervals_and_how_many_models_are_usable(five: Shown) -> None:
    table = five["scores"]
    assert table.loc["GA", "usable"].tolist() == ["5/5", "4/5", "4/5"]
    assert table.loc["FT", "forgotten"].tolist() == ["10", "40", "100"]
    assert table.loc["FT", FA_EARLIER].tolist() == ["n/a", "0.800 [0.798, 0.802]", "0.915 [0.913, 0.917]"]


def test_earlier_requests_stand_beside_the_retrained_models(five: Shown) -> None:
    table = five["earlier"]
    assert table.loc["FT", "after round"].tolist() == ["2", "3"]
    assert table.loc["FT", "FA_earlier less retrained"].iloc[1] == "+0.115 [0.113, 0.117]"
