"""A row is held against its schema before it is written, so that what is stored can be read."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.keys import MetricsKey, RowKey
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.store import Entry, Place, Store
from deepunlearn.metrics.catalogue import BUILT_IN
from deepunlearn.metrics.row import check_row, with_added
from deepunlearn.stages.evaluation import Experiment
from tests.analysis.conftest import row
from tests.keys import reference

WRONG = [
    ("TA", 1.5, "'TA'"),
    ("cell", None, "'cell'"),
    ("seed", "0", "'seed'"),
    ("date", "yesterday", "'date'"),
    ("params", "lr=1", "'params'"),
    ("result_set", "short", "'result_set'"),
    ("colour", "red", "colour"),
]


def test_rows_of_models_and_of_references_fit() -> None:
    check_row(row())
    check_row(row(method="original", params=None, RTE=None))


@pytest.mark.parametrize(("name", "value", "told"), WRONG)
def test_a_row_that_could_not_be_read_is_refused(name: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_row(row(**{name: value}))


def test_so_is_one_that_lacks_what_may_be_null_or_holds_what_is_no_number() -> None:
    short = row()
    del short["reason"]
    with pytest.raises(ValueError, match="reason"):
        check_row(short)
    with pytest.raises(ValueError, match="JSON"):
        check_row(row(TA=float("nan")))


def test_the_stage_writes_no_such_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = MetricsKey(subject=reference(), retrained=reference(role="retrained"), version=1)
    scores = SimpleNamespace(key=key, json=lambda name: {"MIA_AUC": 0.25})  # of a program without Disc_AUC
    subject = Entry(
        tmp_path, key, {name: row()[name] for name in ("machine", "device", "threads", "commit", "torch", "date")}
    )
    experiment = Experiment.__new__(Experiment)
    experiment.store = Store(tmp_path)
    keys: Any = SimpleNamespace(row=lambda metrics, search: RowKey(metrics=metrics, search=search), rounds=None)
    experiment.keys = keys
    place = Place("digits", "resnet18", "ft", 0)

    def written(**changes: Any) -> Entry:
        fields = {name: value for name, value in row(**changes).items() if name != "Disc_AUC"}
        monkeypatch.setattr(experiment, "_cell_fields", lambda: fields)
        return experiment._row(None, scores, subject, place, {})  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="'TA'"):
        written(TA=2.0)
    assert not list(tmp_path.rglob("row.json"))
    stored = written(result_set=None).json("row.json")
    assert (stored["TA"], stored["MIA_AUC"], stored["Disc_AUC"]) == (row()["TA"], 0.25, 0.5)


def test_two_measures_may_not_share_a_column() -> None:
    own = Measure.model_validate(json.loads(BUILT_IN.measures[0].description) | {"name": "another"})
    with pytest.raises(ConfigError, match="same name"):
        with_added([own])
