"""What is gathered from a store, kept in files and joined again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from deepunlearn.analysis import measured, records
from deepunlearn.analysis.aggregate import aggregate
from deepunlearn.analysis.coverage import REPLACED, require_complete
from deepunlearn.analysis.records import DTYPES, Records
from deepunlearn.core.errors import ConfigError, StoreError
from tests.analysis.conftest import RESULT_SET, TRIALS_HEAD, Shelf

TRIALS = (
    '0,0,COMPLETE,,0.1,0.2,0.05,0.3,1.5,"{""lr"": 0.12345678901234567}"\n'
    '1,0,FAIL,Diverged: not finite,,,,,,"{""lr"": 1.0}"\n'
)
MEASURE = json.dumps(
    {
        **{"name": "confidence", "version": 1, "title": "confidence", "source": "a test", "kind": "score"},
        "needs": ["logits"],
        "columns": [
            {"name": "FConf", "better": "lower", "meaning": "mean probability of the label"},
            {"name": "FSure", "type": "bool", "better": "neither", "meaning": "whether it is above one half"},
        ],
    }
)


def fill(shelf: Shelf) -> None:
    shelf.references(0)
    shelf.searched(TRIALS)
    shelf.histogram(retain=[1, 2], forget=[3], val=[], test=[4])
    shelf.expect("run1", {"method": "ct"})
    shelf.fail(method="ct", traceback="Traceback: line 7")


def assert_equal(one: Records, other: Records) -> None:
    for name in DTYPES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), obj=name)


def test_what_the_store_holds_is_found(shelf: Shelf) -> None:
    fill(shelf)
    found = records.collect(shelf.root)
    assert found.rows["method"].tolist() == ["ft", "original", "retrained"]
    assert dict(zip(found.cases["method"], found.cases["outcome"], strict=True))["ct"] == "failed"
    assert found.failures["traceback"].tolist() == ["Traceback: line 7"]
    assert found.trials["method"].tolist() == ["ft", "ft"]
    assert found.trials["params"].iloc[0] == '{"lr": 0.12345678901234567}'
    assert found.trials[["retain", "forget", "val", "mia"]].iloc[0].tolist() == [0.1, 0.2, 0.05, 0.3]
    assert found.trials["retain"].isna().tolist() == [False, True]
    assert found.losses.iloc[0][["retain", "forget", "val", "test"]].tolist() == [[1, 2], [3], [], [4]]


def test_a_search_that_no_row_rests_on_is_left_out(shelf: Shelf) -> None:
    folder = shelf.searched(TRIALS)
    folder.rename(folder.with_name("0" * 16))
    assert records.collect(shelf.root).trials.empty


def test_a_search_that_found_nothing_has_its_trials_until_it_is_overcome(shelf: Shelf) -> None:
    note = shelf.fail(method="ct", stage="select", seed=None, kind="search_failed")
    lost = TRIALS.splitlines(keepends=True)[1]
    note.with_name("trials.csv").write_text(TRIALS_HEAD + lost, encoding="utf-8")
    (trial,) = records.collect(shelf.root).trials.to_dict("records")
    assert (trial["method"], trial["result_set"], trial["state"], trial["seed"]) == ("ct", RESULT_SET, "FAIL", 1)
    assert trial["reason"] == "Diverged: not finite" and pd.isna(trial["ranges"]) and pd.isna(trial["retain"])
    note.rename(note.with_name("overcome-20260102T030405000000.json"))
    assert records.collect(shelf.root).trials.empty


def test_files_hold_all_of_it(shelf: Shelf) -> None:
    fill(shelf)
    found = records.collect(shelf.root)
    found.write(shelf.root)
    read = records.read([shelf.root])
    for name in set(DTYPES) - {"losses"}:
        pd.testing.assert_frame_equal(getattr(read, name), getattr(found, name), obj=name)
    assert [list(counts) for counts in read.losses["retain"]] == [[1, 2]]
    assert sorted(path.name for path in (shelf.root / "records").iterdir()) == sorted(
        f"{name}.parquet" for name in DTYPES
    )


def test_an_empty_store_has_empty_tables_that_can_be_kept(tmp_path: Path) -> None:
    found = records.collect(tmp_path)
    found.write(tmp_path)
    assert_equal(records.read([tmp_path]), found)


def test_folders_are_joined_and_nothing_counts_twice(shelf: Shelf) -> None:
    """Of a model that one folder has and another only expected, the row counts."""
    fill(shelf)
    before = records.collect(shelf.root)
    before.write(shelf.root / "first")
    shelf.add(method="ct", method_title="CT")
    records.collect(shelf.root).write(shelf.root / "second")
    joined = records.read([shelf.root / "first", shelf.root / "second", shelf.root / "first"])
    assert joined.rows["method"].tolist() == ["ct", "ft", "original", "retrained"]
    assert joined.cases[joined.cases["method"] == "ct"]["outcome"].tolist() == ["found"]
    assert len(joined.trials) == 2 and len(joined.failures) == 1 and len(joined.losses) == 1


def kept(root: Path, *rows: dict[str, object]) -> Path:
    """Records of these changes to a row of FT, beside its references."""
    shelf = Shelf(root)
    for changes in rows:
        shelf.references(int(str(changes["seed"])))
        shelf.add(**changes)
    shelf.expect()
    records.collect(root).write(root)
    return root


def test_a_model_whose_row_does_not_count_beside_those_of_another_folder_is_missing(tmp_path: Path) -> None:
    """Five seeds of other hyper-parameters were made later elsewhere, and no mean mixes them."""
    one = kept(tmp_path / "one", *({"seed": seed, "params": '{"lr": 0.1}'} for seed in range(5)))
    later = {"params": '{"lr": 0.2}', "date": "2026-02-02T03:04:05+00:00"}
    other = kept(tmp_path / "other", *({"seed": seed, **later} for seed in range(5, 10)))
    cases = records.read([one, other]).cases
    own = cases[cases["method"] == "ft"].set_index("seed")
    assert own["outcome"].tolist() == ["missing"] * 5 + ["found"] * 5
    assert own["usable"].tolist() == [False] * 5 + [True] * 5
    assert set(own["why"]) == {REPLACED, ""}
    with pytest.raises(ConfigError, match="other hyper-parameters"):
        require_complete(cases)


def test_the_order_of_folders_does_not_decide_whether_a_method_failed(tmp_path: Path) -> None:
    usable = kept(tmp_path / "usable", {"seed": 0})
    later = {"usable": False, "reason": "TA 0.1", "date": "2026-02-02T03:04:05+00:00"}
    unusable = kept(tmp_path / "unusable", {"seed": 0, **later})
    one, other = records.read([usable, unusable]), records.read([unusable, usable])
    assert_equal(one, other)
    lines = aggregate(one.rows, one.cases).set_index("method")
    assert lines.loc["ft", ["usable", "status", "reason"]].tolist() == ["0/1", "F", "1 not usable: TA 0.1"]


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_records_from_before_a_measure_was_computed_take_nothing_of_it_away(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    old = records.read([kept(tmp_path / "old", {"seed": 0}, {"seed": 1})])
    line = {"name": "confidence", "version": 1, "description": MEASURE}
    measures = pd.DataFrame([line]).astype(measured.DTYPES)
    new = replace(old, rows=old.rows.assign(FConf=0.5, FSure=True).astype({"FSure": "boolean"}), measures=measures)
    new.write(tmp_path / "new")
    joined = records.read([tmp_path / name for name in order])
    assert_equal(joined, records.read([tmp_path / "new"]))
    assert joined.rows["FConf"].tolist() == [0.5] * len(old.rows)


def test_a_folder_without_records_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"deepunlearn\.tables results="):
        records.read([tmp_path])


def test_records_of_older_and_newer_versions_are_read_and_joined(shelf: Shelf) -> None:
    """Columns that may be empty and are missing are empty; unknown ones are passed over."""
    fill(shelf)
    found = records.collect(shelf.root)
    found.write(shelf.root)
    path = shelf.root / "records" / "rows.parquet"
    pd.read_parquet(path).drop(columns=["moved", "VA", "trials"]).assign(tomorrow=1).to_parquet(path)
    found.write(shelf.root / "new")
    old = records.read([shelf.root]).rows
    assert dict(old.dtypes) == dict(found.rows.dtypes)
    assert old[["moved", "VA", "trials"]].isna().all(axis=None)
    both = records.read([shelf.root, shelf.root / "new"]).rows
    assert dict(both.dtypes) == dict(found.rows.dtypes)


@pytest.mark.parametrize("damage", ["truncated", "other columns"])
def test_a_damaged_file_is_named(shelf: Shelf, damage: str) -> None:
    fill(shelf)
    records.collect(shelf.root).write(shelf.root)
    path = shelf.root / "records" / "trials.parquet"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    else:
        pd.read_parquet(path).drop(columns="mia").to_parquet(path)
    with pytest.raises(StoreError, match=str(path)):
        records.read([shelf.root])
