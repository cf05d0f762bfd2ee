from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from deepunlearn.analysis.coverage import failure_notes
from deepunlearn.analysis.rows import MODEL, collect, current
from deepunlearn.core.errors import StoreError
from deepunlearn.core.store import DRAFT
from deepunlearn.metrics.row import MEANINGS, NAMES

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf


def test_rows_come_back_as_they_were_stored(shelf: Shelf) -> None:
    shelf.references(0)
    shelf.add(seed=1, RetDev=None, reason="RetDev undefined: ...")
    frame = collect(shelf.root)
    assert list(frame) == list(NAMES)
    for stored in shelf.rows:
        mask = (frame["method"] == stored["method"]) & (frame["seed"] == stored["seed"])
        found = frame[mask].iloc[0].to_dict()
        assert {name: None if pd.isna(value) else value for name, value in found.items()} == stored


def test_what_was_made_of_the_same_frame_is_a_copy_and_of_another_it_is_made_anew(shelf: Shelf) -> None:
    shelf.add()
    frame = collect(shelf.root)
    first = current(frame)
    first["method"] = "changed by a caller"
    assert current(frame)["method"].tolist() == ["ft"]
    assert current(frame.assign(method="ct"))["method"].tolist() == ["ct"]


def test_rows_from_before_disc_auc_have_it_too(shelf: Shelf) -> None:
    path = shelf.add(MIA_AUC=0.3)
    stored = json.loads(path.read_text())
    del stored["Disc_AUC"]
    path.write_text(json.dumps(stored))
    shelf.add(seed=1, MIA_AUC=None)
    assert collect(shelf.root)["Disc_AUC"].tolist() == [pytest.approx(0.4), pytest.approx(float("nan"), nan_ok=True)]


def test_rows_from_before_gap_and_tow_have_them_too(shelf: Shelf) -> None:
    """To the retrained model of the same cell and seed: 0.1, 0.2 and 0.3 apart; none where there is no accuracy."""
    paths = [
        shelf.add(method="retrained", method_title="retrained", RA=0.9, FA=0.8, TA=0.7),
        shelf.add(method="retrained", method_title="retrained", seed=1, RA=0.1, FA=0.1, TA=0.1),
        shelf.add(RA=0.8, FA=1.0, TA=0.4),
        shelf.add(method="msg", RA=None, FA=None, VA=None, TA=None, usable=False),
        shelf.add(method="ct", seed=2, RA=0.8, FA=1.0, TA=0.4),
    ]
    for path in paths:
        stored = {name: value for name, value in json.loads(path.read_text()).items() if name not in ("gap", "ToW")}
        path.write_text(json.dumps(stored))
    found = collect(shelf.root).set_index(["method", "seed"])
    assert found.loc[("ft", 0), ["gap", "ToW"]].tolist() == pytest.approx([0.2, 0.9 * 0.8 * 0.7])
    assert found.loc[("retrained", 1), ["gap", "ToW"]].tolist() == [0, 1]
    assert found.loc[[("msg", 0), ("ct", 2)], ["gap", "ToW"]].isna().all(axis=None), "no accuracies, no retrained model"


def test_rows_from_before_other_forget_sets_are_of_a_random_one(shelf: Shelf) -> None:
    names = ("forget_kind", "forget_title", "forget_remarks", "n_unseen_test")
    path = shelf.add(forget_ratio=0.05)
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in stored.items() if name not in names}))
    shelf.add(seed=1, forget_kind="classes", forget_title="class 3")
    found = collect(shelf.root)
    assert found["forget_title"].tolist() == ["random 5 %", "class 3"]
    assert found["forget_kind"].tolist() == ["random", "classes"]


def test_a_draft_that_goes_while_a_sweep_works_is_no_matter(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes an entry, under another name, between the moment it is seen and the one in which it is opened."""
    path = shelf.add()
    (path.parent.parent / f"{DRAFT}seed1-0").mkdir()
    listed = os.scandir

    def gone(folder: Any = ".") -> Any:
        if Path(folder).name.startswith(DRAFT):
            raise FileNotFoundError(folder)
        return listed(folder)

    monkeypatch.setattr(os, "scandir", gone)
    assert len(collect(shelf.root)) == 1 and failure_notes(shelf.root) == []


def test_an_empty_folder_has_the_same_columns(tmp_path: Path, shelf: Shelf) -> None:
    empty = collect(tmp_path / "nothing")
    shelf.add()
    assert empty.empty
    assert dict(empty.dtypes) == dict(collect(shelf.root).dtypes)


def test_every_column_says_what_it_means() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(MEANINGS) == set(NAMES) and all(MEANINGS.values()) and "None" not in MEANINGS.values()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RA", 1.5), ("RA", "0.9"), ("RetDev", -0.1), ("seed", 0.5), ("seed", True), ("seed", None), ("usable", 1),
        ("cell", "abc"), ("result_set", None), ("params", "[1]"), ("params", "lr=1"), ("date", "yesterday"),
        ("train_lr", float("inf")), ("RTE", float("nan")), ("machine", ""),
    ],
)  # fmt: skip
def test_an_impossible_field_is_refused(shelf: Shelf, name: str, value: Any) -> None:
    shelf.add(seed=7)
    path = shelf.add(**{name: value})
    with pytest.raises(StoreError) as caught:
        collect(shelf.root)
    assert str(path) in str(caught.value)
    assert repr(name) in str(caught.value)


def test_a_reference_has_no_result_set(shelf: Shelf) -> None:
    path = shelf.add(method="original", result_set="a" * 16)
    with pytest.raises(StoreError, match="result_set") as caught:
        collect(shelf.root)
    assert str(path) in str(caught.value)


def test_rows_of_older_and_newer_versions_are_read(shelf: Shelf) -> None:
    """What may be null and is missing is null; what this version does not know is left alone in its file."""
    path = shelf.add()
    older = {name: value for name, value in json.loads(path.read_text()).items() if name != "moved"}
    path.write_text(json.dumps({**older, "accuracy_of_tomorrow": 0.5}))
    frame = collect(shelf.root)
    assert frame["moved"].isna().all() and list(frame) == list(NAMES)
    assert frame["RetDev"].tolist() == [0.0]


@pytest.mark.parametrize("damage", ["missing", "torn", "empty", "not text"])
def test_a_damaged_row_is_named(shelf: Shelf, damage: str) -> None:
    path = shelf.add()
    content = json.loads(path.read_text())
    if damage == "missing":
        path.write_text(json.dumps({name: value for name, value in content.items() if name != "usable"}))
    else:
        path.write_bytes({"torn": path.read_bytes()[:100], "empty": b"", "not text": b'{"cell": "\xff"}'}[damage])
    with pytest.raises(StoreError) as caught:
        collect(shelf.root)
    assert str(path) in str(caught.value)
    assert {"missing": "'usable'"}.get(damage, "") in str(caught.value)


def test_drafts_of_running_writers_are_not_rows(shelf: Shelf) -> None:
    path = shelf.add()
    draft = path.parent.with_name(".draft-" + path.parent.name)
    draft.mkdir()
    (draft / "row.json").write_text("{")
    assert len(collect(shelf.root)) == 1


def test_of_a_model_evaluated_twice_the_later_row_counts(shelf: Shelf) -> None:
    for date, accuracy in (("2026-01-03", 0.7), ("2026-01-01", 0.8)):
        shelf.add(date=date, TA=accuracy)
        shelf.add(method="original", date=date, TA=accuracy)
    rows = current(collect(shelf.root))
    assert rows["TA"].tolist() == [0.7, 0.7]
    assert not rows.duplicated(MODEL).any()


def test_old_and_new_hyper_parameters_never_mix(shelf: Shelf) -> None:
    """A newer value on one seed only: the other seeds' old rows do not count, and the original's rows stay."""
    shelf.references(0, 1)
    for seed in (0, 1):
        shelf.add(seed=seed, date="2026-01-01")
    shelf.add(seed=0, date="2026-01-02", params='{"epochs": 5, "lr": 0.01}')
    rows = current(collect(shelf.root))
    assert len(rows[rows["method"] == "ft"]) == 1
    assert rows[rows["method"] == "ft"]["params"].item() == '{"epochs": 5, "lr": 0.01}'
    assert len(rows) == 5


def test_scores_of_two_versions_never_mix(shelf: Shelf) -> None:
    """A model scored again keeps its date, and one that was not counts no longer beside it; neither do references."""
    shelf.references(0, 1, metrics_version=None)
    shelf.references(0, metrics_version=2)
    for seed in (0, 1):
        shelf.add(seed=seed, Indisc=0.1, metrics_version=None)
        shelf.add(seed=seed, method="msg", metrics_version=None)
    shelf.add(seed=0, Indisc=0.9, metrics_version=2)
    rows = current(collect(shelf.root))
    counted = {(row.method, row.seed): row.metrics_version for row in rows.itertuples() if row.method != "msg"}
    assert counted == {("ft", 0): 2, ("original", 0): 2, ("retrained", 0): 2}
    assert rows[rows["method"] == "ft"]["Indisc"].tolist() == [0.9]
    assert len(rows[rows["method"] == "msg"]) == 2, "what was scored by one version alone stays"


def test_rows_without_a_version_of_their_scores_are_of_the_first(shelf: Shelf) -> None:
    shelf.add(seed=0, metrics_version=None)
    shelf.add(seed=1, metrics_version=1)
    assert len(current(collect(shelf.root))) == 2
