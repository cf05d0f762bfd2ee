"""Attributes: cached whole, read column by column, made once from the source, and refused where they cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepunlearn.core.errors import DataError
from deepunlearn.data.attributes import Attributes, CachedAttributes, column, store

MADE = Attributes(
    {"identity": np.array([3, 1, 3]), "age": np.array([0.5, np.nan, 7]), "a/b é": np.array(["", "x", "long text"])},
    {"identity": np.array([9])},
    ["a.png", "ü/b.png", "\udcff.png"],  # the last is no valid UTF-8 on disk
    None,
)


def never() -> Attributes:
    raise AssertionError("the source was read again")


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    store(MADE, folder)
    again = CachedAttributes(folder, never)
    assert list(again.train) == list(MADE.train) and list(again.test) == ["identity"]
    for name, values in MADE.train.items():
        assert again.train[name].dtype == values.dtype
        np.testing.assert_array_equal(again.train[name], values)
    assert again.train_names is not None and list(again.train_names) == MADE.train_names and again.test_names is None
    assert "missing" not in again.train
    with pytest.raises(KeyError):
        again.train["missing"]


def test_the_source_is_read_once_and_only_when_asked(tmp_path: Path) -> None:
    calls = []

    def make() -> Attributes:
        calls.append(1)
        return MADE

    first = CachedAttributes(tmp_path / "kept", make)
    assert not calls and not list(tmp_path.iterdir())
    assert first.test["identity"].tolist() == [9] and first.train_names is not None
    assert CachedAttributes(tmp_path / "kept", make).train["identity"].tolist() == [3, 1, 3]
    assert len(calls) == 1


@pytest.mark.parametrize("damage", ["cut", "no facts", "foreign facts"])
def test_a_damaged_folder_is_made_again(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    store(MADE, folder)
    if damage == "cut":
        (folder / "train_column_0.npy").write_bytes(b"")
    else:
        (folder / "attributes.json").write_text("{}" if damage == "foreign facts" else "")
    assert CachedAttributes(folder, lambda: MADE).train["identity"].tolist() == [3, 1, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_types_are_made_few() -> None:
    assert column(np.array([True, False]), "a", 2).dtype == np.int64
    assert column(np.array([1, 2], dtype=np.uint8), "a", 2).dtype == np.int64
    assert column(np.array([1, 2], dtype=np.float32), "a", 2).dtype == np.float64
    assert column(["x", ""], "a", 2).dtype.kind == "U"


@pytest.mark.parametrize(
    "values", [[1, 2, 3], np.array([1j, 2]), np.array([None, "x"]), [[1], [2]], np.array([2**63, 1], dtype=np.uint64)]
)
def test_what_is_no_column_is_refused(values: object) -> None:
    with pytest.raises(DataError, match="attribute 'age' cannot be used") as error:
        column(values, "age", 2)  # type: ignore[arg-type]
    assert error.value.remedy
