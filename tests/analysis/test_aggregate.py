from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from deepunlearn.analysis.aggregate import aggregate
from deepunlearn.analysis.coverage import outcomes
from deepunlearn.analysis.rows import collect

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf


def table_of(shelf: Shelf) -> pd.DataFrame:
    frame = collect(shelf.root)
    return aggregate(frame, outcomes(frame, shelf.root)).set_index("method", drop=False)


def test_mean_and_sd_over_seeds(shelf: Shelf) -> None:
    for seed, value in enumerate((0.1, 0.2, 0.6)):
        shelf.add(seed=seed, RetDev=value)
    line = table_of(shelf).loc["ft"]
    assert line["RetDev_mean"] == pytest.approx(0.3)
    assert line["RetDev_sd"] == pytest.approx(math.sqrt((0.2**2 + 0.1**2 + 0.3**2) / 2))
    assert (line["usable"], line["status"], line["reason"]) == ("3/3", "", "")


def test_one_model_has_no_sd(shelf: Shelf) -> None:
    shelf.add()
    line = table_of(shelf).loc["ft"]
    assert line["TA_mean"] == 0.88
    assert math.isnan(line["TA_sd"])


def test_unusable_models_are_not_averaged_and_fail_the_method(shelf: Shelf) -> None:
    shelf.add(seed=0, TA=0.8)
    shelf.add(seed=1, TA=0.1, usable=False, reason="TA 0.100 is not above ...")
    line = table_of(shelf).loc["ft"]
    assert line["TA_mean"] == 0.8
    assert (line["usable"], line["status"]) == ("1/2", "F")
    assert line["reason"] == "1 not usable: TA 0.100 is not above ..."


def test_a_method_that_left_the_original_as_it_was_is_said_to(shelf: Shelf) -> None:
    shelf.add(method="scrub", seed=0, moved=0.0, notes='{"rewound_to": 0}')
    shelf.add(method="scrub", seed=1, moved=2e-5)
    assert table_of(shelf).loc["scrub", "reason"] == '1 equal to the original {"rewound_to": 0}'


def test_a_method_that_hardly_moved_is_marked(shelf: Shelf) -> None:
    """IU's step of 9e-6 of the weights' norm is none; neither is one that moves running statistics alone."""
    shelf.add(method="iu", seed=0, moved=9.1e-6)
    shelf.add(method="iu", seed=1, moved=1.1e-5)
    shelf.add(method="iu", seed=2, moved=1e-7, moved_buffers=9e-6)
    shelf.add(method="bn", seed=0, moved=0.0, moved_buffers=0.2)
    shelf.add(method="bn", seed=1, moved=0.0, moved_buffers=0.0, notes="{}")
    shelf.add(method="ft", seed=0, moved=0.01, moved_buffers=0.0)
    shelf.add(method="original", seed=0, moved=0.0, moved_buffers=0.0)
    reasons = table_of(shelf)["reason"]
    assert reasons["iu"] == "2 did not move"
    assert reasons["bn"] == "1 equal to the original {}; 1 moved statistics alone, no weights"
    assert reasons["ft"] == "" and reasons["original"] == ""


@pytest.mark.parametrize("kind", ["failed", "skipped", "search_failed"])
def test_fewer_models_than_report_seeds_is_a_failure(shelf: Shelf, kind: str) -> None:
    for seed in range(2):
        shelf.add(method="msg", seed=seed)
        shelf.expect("run1", {"seed": 0}, {"seed": 1})
        shelf.fail(seed=seed, kind=kind)
    line = table_of(shelf).loc["ft"]
    assert (line["usable"], line["status"], line["method_title"]) == ("0/2", "F", "ft")
    assert "out of memory" in line["reason"]
    assert math.isnan(line["TA_mean"])
    assert table_of(shelf).loc["msg"]["status"] == ""


def test_infrastructure_makes_a_method_incomplete_not_failed(shelf: Shelf) -> None:
    for seed in range(2):
        shelf.add(method="msg", seed=seed)
        shelf.expect("run1", {"seed": 0}, {"seed": 1})
        shelf.fail(seed=seed, kind="infrastructure", error="OSError", message="No space left on device")
    line = table_of(shelf).loc["ft"]
    assert (line["usable"], line["status"]) == ("0/2", "incomplete")
    assert line["reason"] == "2 not run: OSError: No space left on device"


def test_seeds_that_were_not_run_make_a_method_incomplete_not_failed(shelf: Shelf) -> None:
    shelf.add(method="ft", seed=0)
    for seed in range(3):
        shelf.add(method="msg", seed=seed)
    shelf.expect("run1", {"method": "ct", "seed": 0})
    table = table_of(shelf)
    assert table["status"].to_dict() == {"ct": "incomplete", "ft": "incomplete", "msg": ""}
    assert table["usable"].to_dict() == {"ct": "0/3", "ft": "1/3", "msg": "3/3"}


def test_a_value_that_one_usable_model_lacks_has_no_mean(shelf: Shelf) -> None:
    shelf.add(seed=0)
    shelf.add(seed=1, RTE=None, retrain_seconds=None)
    shelf.add(seed=2, usable=False, RetDev=None, reason="logits are not finite on val")
    shelf.add(seed=3, RTE=5.0)
    line = table_of(shelf).loc["ft"]
    assert math.isnan(line["RTE_mean"])
    assert math.isnan(line["RTE_sd"])
    assert line["RetDev_mean"] == 0


def test_references_come_first_and_on_the_report_seeds_only(shelf: Shelf) -> None:
    shelf.references(0, 1, TA=0.8)
    shelf.references(10, TA=0.1)
    for seed in (0, 1):
        shelf.add(method="zz", method_title="AA", seed=seed)
        shelf.add(method="aa", method_title="ZZ", seed=seed)
    table = table_of(shelf)
    assert table["method"].tolist() == ["original", "retrained", "zz", "aa"]
    assert table["TA_mean"].tolist()[:2] == [0.8, 0.8]
    assert table["usable"].tolist() == ["2/2"] * 4
    assert table.loc["retrained"]["RTE_mean"] == 1
    assert table.loc["retrained"]["seconds_mean"] == 8


def test_result_sets_do_not_mix(shelf: Shelf) -> None:
    """Two result sets of one cell and one of another: nothing is averaged across, references stand in each."""
    sets = {"1" * 16: ("c" * 16, 0.5), "2" * 16: ("c" * 16, 0.7), "3" * 16: ("d" * 16, 0.9)}
    for cell, accuracy in (("c" * 16, 0.6), ("d" * 16, 0.95)):
        shelf.references(0, 1, cell=cell, TA=accuracy)
    for result_set, (cell, accuracy) in sets.items():
        for seed in (0, 1):
            shelf.add(result_set=result_set, cell=cell, seed=seed, TA=accuracy)
    table = table_of(shelf)
    for result_set, (cell, accuracy) in sets.items():
        part = table[table["result_set"] == result_set]
        assert set(part["cell"]) == {cell}
        assert part["TA_mean"].to_dict() == {
            "original": 0.6 if cell[0] == "c" else 0.95, "retrained": 0.6 if cell[0] == "c" else 0.95, "ft": accuracy,
        }  # fmt: skip
    assert len(table) == 9


def test_the_number_of_report_seeds_is_each_result_sets_own(shelf: Shelf) -> None:
    shelf.add(seed=0, result_set="1" * 16)
    for seed in range(3):
        shelf.add(seed=seed, result_set="2" * 16)
    assert table_of(shelf)["usable"].tolist() == ["1/1", "3/3"]


def test_a_cell_with_references_only_has_its_own_lines(shelf: Shelf) -> None:
    shelf.references(0, 1)
    assert table_of(shelf)["usable"].to_dict() == {"original": "2/2", "retrained": "2/2"}


def test_what_cannot_be_applied_is_no_failure_unless_something_failed_too(shelf: Shelf) -> None:
    for seed in range(2):
        shelf.add(method="msg", seed=seed)
    shelf.expect("run1", *({"method": name, "seed": seed} for name in ("bt", "ff") for seed in (0, 1)))
    shelf.fail(method="bt", seed=0, kind="not_applicable", message="needs a convolution")
    shelf.fail(method="ff", seed=0, kind="failed")
    shelf.fail(method="ff", seed=1, kind="failed")
    table = table_of(shelf)
    assert table["status"].to_dict() == {"bt": "n/a", "ff": "F", "msg": ""}
    assert "needs a convolution" in table.loc["bt", "reason"]
