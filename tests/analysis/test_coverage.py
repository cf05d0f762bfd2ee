from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from deepunlearn.analysis.coverage import counted_once, coverage, name_holes, outcomes, require_complete
from deepunlearn.analysis.rows import collect
from deepunlearn.core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf


def cases_of(shelf: Shelf) -> pd.DataFrame:
    return outcomes(collect(shelf.root), shelf.root)


def line(shelf: Shelf, method: str) -> dict[str, object]:
    table = coverage(cases_of(shelf)).set_index("method")
    return table.loc[method].to_dict()


def test_counts_every_outcome(shelf: Shelf) -> None:
    shelf.add(seed=0)
    shelf.add(seed=1, usable=False, reason="weights are not finite")
    shelf.expect("run1", *({"seed": seed} for seed in range(2, 6)))
    shelf.fail(seed=2)
    shelf.fail(seed=3, kind="skipped", error="Skipped", message="its original failed")
    found = line(shelf, "ft")
    counts = {"expected": 6, "found": 2, "failed": 1, "skipped": 1, "not_applicable": 0, "missing": 2, "usable": 1}
    assert {name: found[name] for name in counts} == counts
    assert found["why"] == (
        "1 failed: RuntimeError: out of memory; 2 missing; 1 not usable: weights are not finite; "
        "1 skipped: Skipped: its original failed"
    )


@pytest.mark.parametrize(
    ("stage", "kind", "seed", "column"),
    [
        ("search", "failed", 0, "failed"),
        ("search", "not_applicable", 10, "not_applicable"),
        ("select", "search_failed", None, "failed"),
        ("evaluate", "not_applicable", 0, "not_applicable"),
    ],
)
def test_some_failures_concern_all_seeds(shelf: Shelf, stage: str, kind: str, seed: int | None, column: str) -> None:
    """A search seed is no report seed, and what was skipped for want of the search's result is told by its cause."""
    shelf.expect("run1", {"seed": 0}, {"seed": 1}, {"seed": 0, "method": "msg"})
    shelf.fail(stage=stage, kind=kind, seed=seed, date="2026-01-01", message="the cause")
    shelf.fail(stage="select", kind="skipped", seed=None, date="2026-01-02", message="needs the search")
    shelf.fail(stage="evaluate", kind="skipped", seed=1, date="2026-01-02", message="needs the selection")
    assert line(shelf, "ft")[column] == 2
    assert "the cause" in str(line(shelf, "ft")["why"])
    assert line(shelf, "msg")["missing"] == 1


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"method": "msg"}, {"result_set": "0" * 16}, {"cell": "0" * 16}],
    ids=lambda other: next(iter(other)),
)
def test_failures_explain_their_own_model_only(shelf: Shelf, other: dict[str, object]) -> None:
    shelf.expect("run1", {"seed": 0})
    shelf.fail(**other)
    assert line(shelf, "ft")["missing"] == 1


def test_a_row_overcomes_an_old_failure(shelf: Shelf) -> None:
    shelf.add()
    shelf.fail()
    assert line(shelf, "ft")["found"] == 1
    assert line(shelf, "ft")["failed"] == 0


def test_the_latest_failure_is_told(shelf: Shelf) -> None:
    shelf.expect("run1", {"seed": 0})
    shelf.fail(date="2026-01-03", message="third")
    shelf.fail(date="2026-01-02", message="second")
    assert line(shelf, "ft")["why"] == "1 failed: RuntimeError: third"


def test_runs_are_united(shelf: Shelf) -> None:
    """Two runs ask for overlapping seeds, one superseded: each model counts once; rows nobody asked for count too."""
    shelf.expect("run1", {"seed": 0}, {"seed": 1})
    shelf.expect("run2", {"seed": 1}, {"seed": 2})
    shelf.add(seed=9)
    assert line(shelf, "ft")["expected"] == 4
    assert line(shelf, "ft")["missing"] == 3
    assert cases_of(shelf)["run"].tolist() == ["run1", "run2", "run2", ""]


def test_references_are_covered_once_for_their_cell(shelf: Shelf) -> None:
    shelf.references(0)
    shelf.expect("run1", {"method": "original", "result_set": None, "seed": 1})
    shelf.fail(stage="reference", method="original", result_set=None, seed=1)
    assert line(shelf, "original")["found"] == line(shelf, "original")["failed"] == 1
    assert line(shelf, "original")["missing"] == 0


def test_holes_are_refused_by_name(shelf: Shelf) -> None:
    shelf.add(seed=0)
    shelf.expect("run1", {"seed": 1}, {"seed": 2}, {"method": "msg", "seed": 0}, {"method": "iu", "seed": 0})
    shelf.fail(method="iu")
    with pytest.raises(ConfigError, match="3 of 5 expected rows are missing") as caught:
        require_complete(cases_of(shelf))
    assert "digits resnet18 ft seed 1, 2; digits resnet18 msg seed 0 (3 missing)\n" in str(caught.value)
    assert "partial=true" in str(caught.value)
    assert "runs/run1" in str(caught.value)


def test_explained_rows_are_no_holes(shelf: Shelf) -> None:
    shelf.expect("run1", {"seed": 0})
    shelf.fail()
    require_complete(cases_of(shelf))


def test_infrastructure_is_no_failure_but_a_hole_with_its_reason(shelf: Shelf) -> None:
    shelf.expect("run1", {"seed": 0}, {"seed": 1}, {"method": "msg", "seed": 0})
    shelf.fail(seed=0, kind="infrastructure", error="OSError", message="No space left on device\n  remedy:  make room")
    shelf.fail(seed=1, kind="infrastructure", error="InputMissing", message="needs the original, which was not run")
    shelf.fail(stage="search", method="msg", seed=10, kind="infrastructure", error="WorkerDied", message="killed")
    found = line(shelf, "ft")
    assert (found["not_run"], found["failed"], found["skipped"], found["missing"]) == (2, 0, 0, 0)
    assert found["why"] == "2 not run: OSError: No space left on device (and 1 more)"
    assert line(shelf, "msg")["not_run"] == 1
    with pytest.raises(ConfigError, match="3 of 3 expected rows are missing") as caught:
        require_complete(cases_of(shelf))
    assert "No space left on device" in str(caught.value)


def test_the_cause_is_told_before_what_it_held_up(shelf: Shelf) -> None:
    shelf.expect("run1", {"seed": 0})
    shelf.fail(kind="infrastructure", error="OSError", message="the cause", date="2026-01-01")
    shelf.fail(kind="infrastructure", error="InputMissing", message="needs a model", date="2026-01-02")
    assert line(shelf, "ft")["why"] == "1 not run: OSError: the cause"


@pytest.mark.parametrize(
    ("error", "message", "column"),
    [
        ("OSError", "[Errno 28] No space left on device: 'x'", "not_run"),
        ("FileNotFoundError", "[Errno 2] No such file or directory: 'x'", "not_run"),
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 GiB", "not_run"),
        ("WorkerDied", "3 worker processes at it ended, the last one by signal 9", "not_run"),
        ("StoreError", "the stored result x is damaged", "not_run"),
        ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied", "failed"),
        ("Diverged", "the weights are not finite", "failed"),
    ],
)
def test_notes_of_versions_that_took_infrastructure_for_failures(
    shelf: Shelf, error: str, message: str, column: str
) -> None:
    shelf.expect("run1", {"seed": 0})
    shelf.fail(error=error, message=message)
    assert line(shelf, "ft")[column] == 1


@pytest.mark.parametrize("file", ["expected", "failure"])
def test_damaged_files_are_named(shelf: Shelf, file: str) -> None:
    path = shelf.expect("run1", {"seed": 0}) if file == "expected" else shelf.fail()
    path.write_text(path.read_text().replace("seed", "sead"))
    with pytest.raises(StoreError, match="field") as caught:
        cases_of(shelf)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        ({}, {"2"}),
        ({"metrics_version": 1, "TA": 0.5}, {"2"}),
        ({"metrics_version": 3, "TA": 0.5}, {"1"}),
        ({"method_title": "Mine"}, {"2"}),
        ({"seconds": 3.0}, {"1", "2"}),
        ({"date": "2026-01-03T03:04:05+00:00"}, {"1", "2"}),
        ({"search": "paper"}, {"1", "2"}),
        ({"cell": "d" * 16}, {"1", "2"}),
        ({"seed": 1}, {"1", "2"}),
    ],
)
def test_one_table_under_two_names_is_one(shelf: Shelf, other: dict[str, object], shown: set[str]) -> None:
    """Of equal ones that of newer scores counts, then that which was asked for last."""
    shelf.references(0)
    shelf.add(**{"result_set": "1" * 16, **other})
    shelf.expect("run1")
    shelf.add(result_set="2" * 16)
    shelf.expect("run2", {"result_set": "2" * 16})
    assert _shown(shelf) == shown


def test_the_larger_of_two_tables_stays_and_what_lacks_a_row_does_not_go(shelf: Shelf) -> None:
    shelf.add(result_set="1" * 16)
    shelf.add(result_set="2" * 16)
    shelf.add(result_set="2" * 16, method="ct", method_title="CT")
    assert _shown(shelf) == {"2"}
    shelf.expect("run1", {"result_set": "1" * 16, "seed": 1})
    assert _shown(shelf) == {"1", "2"}, "a row that was asked for is missing"


def _shown(shelf: Shelf) -> set[str]:
    """First digits of the result sets that are left, the same of rows and cases."""
    frame, cases = counted_once(collect(shelf.root), cases_of(shelf))
    shown, asked = (set(table["result_set"].dropna()) - {""} for table in (frame, cases))
    assert shown == asked and (frame["result_set"].isna().sum() == (cases["result_set"] == "").sum())
    return {name[0] for name in shown}


def test_cells_that_differ_in_the_forget_set_are_named_apart(shelf: Shelf) -> None:
    """Also a cell of which nothing ran, where the run says what it forgets, and in runs of versions that did not."""
    for number, ratio in enumerate((0.05, 0.2)):
        shelf.add(cell=f"{number}" * 16, forget_ratio=ratio, forget_title=f"random {100 * ratio:g} %")
    shelf.expect("run1", {"cell": "0" * 16, "seed": 1}, {"cell": "1" * 16, "seed": 1})
    names = {
        "result_set": "9" * 16,
        "cell": "2" * 16,
        "dataset": "digits",
        "arch": "resnet18",
        "method": "ft",
        "seed": 0,
    }
    shelf._put("runs/run2/expected.json", [{**names, "forget": "class 3"}])
    frame = collect(shelf.root)
    cases = outcomes(frame, shelf.root)
    assert dict(zip(cases["cell"].str[0], cases["forget"], strict=True)) == {
        "0": "random 5 %", "1": "random 20 %", "2": "class 3",
    }  # fmt: skip
    assert name_holes(cases) == (
        "digits resnet18 class 3 ft seed 0; digits resnet18 random 20 % ft seed 1; digits resnet18 random 5 % ft seed 1"
    )
    assert name_holes(cases[cases["cell"] == "0" * 16]) == "digits resnet18 ft seed 1", "nothing to tell apart"
