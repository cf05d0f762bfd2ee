"""Tables: what a network sees of a row, by known answers, and refusals that name column, row and remedy."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepunlearn.core.errors import ConfigError, DataError
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.table_columns import attribute
from deepunlearn.data.table_files import facts
from deepunlearn.data.tables import table_data

ROWS = 40
TEST = np.arange(30, ROWS)  # the last ten rows are the test part, so that known answers can be told


def config(**changes) -> DatasetConfig:
    return DatasetConfig(
        **{"name": "t", "title": "", "source": "table", "image_size": None, "root": "t.csv", **changes}
    )


def columns(**changes) -> dict:
    made = {
        "length": [float(row) for row in range(ROWS)],
        "colour": ["red", "green"] * (ROWS // 2),
        "class": ["a", "b", "b", "a"] * (ROWS // 4),
    }
    return {**made, **changes}


def read(table: dict, test=TEST, **changes):
    return table_data(config(**changes), pa.table(table), "class", test)


def everything(raw) -> np.ndarray:
    return np.concatenate([raw.train.images, raw.test.images])


# ------------------------------------------------------------------------------------------------------- known answers


def test_numbers_are_standardised_by_the_training_part_alone() -> None:
    raw = read(columns())
    own = np.arange(30)
    expected = (np.arange(ROWS) - own.mean()) / own.std()
    assert np.allclose(everything(raw)[:, 0], expected, atol=1e-6) and raw.train.images.dtype == np.float32
    assert abs(raw.train.images[:, 0].mean()) < 1e-6 and abs(raw.train.images[:, 0].std() - 1) < 1e-6


def test_what_the_test_part_holds_changes_no_training_row() -> None:
    other = columns(length=[*map(float, range(30)), *[1e6] * 10])
    assert np.array_equal(read(columns()).train.images, read(other).train.images)


def test_categories_are_a_number_each_in_a_fixed_order() -> None:
    raw = read(columns())
    assert raw.features == ("length", "colour=green", "colour=red")
    assert np.array_equal(raw.train.images[:2, 1:], [[0, 1], [1, 0]])


def test_numbers_in_categories_are_in_the_order_of_their_size() -> None:
    raw = read(columns(colour=[10, 9, 100, 9] * 10), categories=("colour",))
    assert raw.features[1:] == ("colour=9", "colour=10", "colour=100")


def test_classes_are_numbered_in_order_and_named() -> None:
    raw = read(columns())
    assert raw.class_names == ("a", "b") and raw.train.labels[:4].tolist() == [0, 1, 1, 0]
    for target in ([2, 10, 10, 2] * 10, [2.0, 10.0, 10.0, 2.0] * 10):
        assert read(columns(**{"class": target})).class_names == ("2", "10")
    assert read(columns(**{"class": [True, False] * 20})).class_names == ("false", "true")


def test_truth_values_are_numbers() -> None:
    raw = read(columns(colour=[True, False] * 20))
    assert raw.features == ("length", "colour") and np.allclose(raw.train.images[:2, 1], [1, -1])


def test_an_unseen_category_of_the_test_part_has_no_number_and_is_told() -> None:
    raw = read(columns(colour=[*["red", "green"] * 15, *["blue"] * 10]))
    assert not raw.test.images[:, 1:].any() and raw.features[1:] == ("colour=green", "colour=red")
    assert raw.remarks["unseen"][0] == "row 31" and len(raw.remarks["unseen"]) == 10


def test_a_share_is_cut_off_where_there_is_no_test_part() -> None:
    raw = read(columns(), test=None, test_ratio=0.2)
    assert (len(raw.train.labels), len(raw.test.labels)) == (32, 8)
    assert np.bincount(raw.test.labels).tolist() == [4, 4], "stratified"
    assert sorted([*raw.train.names, *raw.test.names]) == sorted(f"row {row}" for row in range(1, ROWS + 1))


def test_every_column_is_an_attribute_as_it_is_in_the_table() -> None:
    days = [datetime.date(2020, 1, 1 + row % 9) for row in range(ROWS)]
    raw = read(columns(identity=list(range(ROWS)), day=days), ignore=("identity", "day"))
    assert raw.features == ("length", "colour=green", "colour=red")
    known = raw.attributes
    assert known.train["identity"].dtype == np.int64 and known.test["identity"][0] == 30
    assert known.train["colour"][0] == "red" and known.train["class"][1] == "b" and known.train["length"][3] == 3.0
    assert known.train["day"][1] == "2020-01-02"
    assert known.train_names is not None and known.train_names[0] == "row 1"


def test_missing_values_of_attributes_are_nan_and_empty() -> None:
    table = pa.table({"whole": [1, None, 3], "text": ["x", None, " ? "], "small": pa.array([7, 1, 2], pa.uint64())})
    assert np.isnan(attribute("whole", table)[1]) and attribute("text", table).tolist() == ["x", "", ""]
    assert attribute("small", table).dtype == np.float64


def test_whole_numbers_that_would_be_rounded_are_texts() -> None:
    gap, large = [2**53, 2**53 + 1, None], [2**63, 2**63 + 1, 2]
    table = pa.table(
        {
            "gap": gap,
            "uint": pa.array(large, pa.uint64()),
            "decimal": pa.array(map(decimal.Decimal, large), pa.decimal128(20, 0)),
        }
    )
    assert attribute("gap", table).tolist() == [str(2**53), str(2**53 + 1), ""]
    assert attribute("uint", table).tolist() == attribute("decimal", table).tolist() == [*map(str, large)]


# ------------------------------------------------------------------------------------------------------ missing values

HOLES = {"length": [None, *map(float, range(1, ROWS))], "colour": ["red", None, *["red", "green"] * (ROWS // 2 - 1)]}


def test_missing_values_are_named_with_all_remedies() -> None:
    with pytest.raises(DataError, match="cannot be used") as error:
        read(columns(**HOLES))
    assert error.value.given == "missing values: 'length' in 1 rows, first row 1; 'colour' in 1 rows, first row 2"
    assert all(f"dataset.missing={one}" in str(error.value.remedy) for one in ("drop", "mean"))


def test_a_missing_value_becomes_the_mean_of_the_training_part() -> None:
    raw = read(columns(**HOLES), missing="mean")
    assert raw.train.images[0, 0] == 0 and np.isclose(raw.train.images[1:, 0].mean(), 0, atol=1e-6)
    shares = np.bincount(np.asarray(HOLES["colour"][:30])[2:] == "red")
    assert np.allclose(raw.train.images[1, 1:], np.array([shares[0], shares[1] + 1]) / 29)
    assert raw.remarks["filled"] == ["row 1", "row 2"]


def test_rows_with_missing_values_are_left_out() -> None:
    raw = read(columns(**HOLES), missing="drop")
    assert raw.train.names[:2] == ["row 3", "row 4"] and len(raw.train.labels) == 28
    assert raw.remarks["incomplete"] == ["row 1", "row 2"] and len(raw.train.columns["class"]) == 28


def test_a_missing_class_is_left_out_or_refused_never_filled() -> None:
    table = columns(**{"class": [None, *(["a", "b"] * 20)[1:]]})
    for missing in ("error", "mean"):
        with pytest.raises(DataError) as error:
            read(table, missing=missing)
        assert "'class' in 1 rows" in error.value.given and "missing=mean" not in str(error.value.remedy)
    assert len(read(table, missing="drop").train.labels) == 29


def test_rows_that_all_lack_something_are_refused() -> None:
    with pytest.raises(DataError, match="every row lacks a value"):
        read(columns(length=[None] * 20 + [1.0] * 20, colour=["red"] * 20 + [None] * 20), missing="drop")


# ----------------------------------------------------------------------------------------------------------- bad input

BAD = {  # name -> changed columns, what is named, part of the remedy
    "a constant number": ({"length": [2.5] * ROWS}, "'length' is 2.5 in all rows", "dataset.ignore=[length]"),
    "a constant text": ({"colour": ["red"] * ROWS}, "'colour' is 'red' in all rows", "dataset.ignore=[colour]"),
    "constant in training": ({"length": [1.0] * 30 + [2.0] * 10}, "'length' is 1.0", "dataset.ignore"),
    "nothing at all": ({"length": pa.nulls(ROWS)}, "'length' is missing in all rows", "dataset.ignore=[length]"),
    "a text between numbers": (
        {"colour": [*map(str, range(ROWS - 1)), "n.a. "]},
        "'n.a.' in row 40",
        "dataset.categories=[colour]",
    ),
    "numbers kept as texts": ({"colour": [str(r % 9) for r in range(ROWS)]}, "numbers kept as texts", "categories"),
    "one class": ({"class": ["a"] * ROWS}, "'class' (dataset.target) is a in all 40 rows", "dataset.target"),
    "a class for each row": (
        {"class": [f"c{row}" for row in range(ROWS)]},
        "has 40 values in 40 rows",
        "dataset.target",
    ),
    "a measured target": (
        {"class": [row / 7 for row in range(1, ROWS + 1)]},
        "continuous numbers, e.g. 0.142857",
        "ranges",
    ),
    "a target of dates": (
        {"class": [datetime.date(2020, 1, 1 + r % 9) for r in range(ROWS)]},
        "dates",
        "dataset.target",
    ),
    "dates": ({"colour": [datetime.date(2020, 1, 1 + r % 9) for r in range(ROWS)]}, "dates or times", "as a number"),
    "dates as texts": ({"colour": [f"{1 + r % 9}/12/2020" for r in range(ROWS)]}, "dates or times", "as a number"),
    "huge whole numbers": ({"length": [2**60 + row for row in range(ROWS)]}, "beyond 2^53", "dataset.ignore=[length]"),
    "huge whole floats": ({"length": [1e30 + row * 1e20 for row in range(ROWS)]}, "beyond 2^53", "divide"),
    "infinity": ({"length": [float("inf"), *map(float, range(1, ROWS))]}, "inf in row 1", "correct the value"),
    "beyond all measure": ({"length": [*(row + 0.5 for row in range(30)), *[1e300] * 10]}, "in row 31", "correct"),
    "lists": ({"colour": [[1, 2]] * ROWS}, "list<", "dataset.ignore=[colour]"),
    "a name with spaces": (
        {"the colour (rgb)": ["x"] * ROWS},
        "'the colour (rgb)'",
        'dataset.ignore=["the colour (rgb)"]',
    ),
    "too many categories": (
        {"colour": [f"text {row}" for row in range(2000)], "length": np.arange(2000.0), "class": ["a", "b"] * 1000},
        "2,000 different texts",
        "identifiers are no inputs",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_table_that_cannot_serve_is_refused(name: str) -> None:
    changes, named, remedy = BAD[name]
    with pytest.raises(DataError, match=r"the table of dataset t \(t.csv\) cannot be used") as error:
        read(columns(**changes))
    assert named in error.value.given and remedy in str(error.value.remedy), str(error.value)


def test_the_remedies_of_ignore_and_categories_work() -> None:
    for changes, _, remedy in (BAD["a constant number"], BAD["huge whole numbers"], BAD["lists"]):
        name = remedy[remedy.index("[") + 1 : -1] if "[" in remedy else "length"
        if name != "colour":
            assert name not in read(columns(**changes), ignore=(name,)).features
    raw = read(columns(**BAD["a text between numbers"][0]), categories=("colour",))
    assert "colour=n.a." not in raw.features, "it is of the test part alone"


@pytest.mark.parametrize(("option", "value"), [("target", "clas"), ("ignore", ("colr",)), ("categories", ("colr",))])
def test_an_unknown_column_lists_those_there_are(option: str, value) -> None:
    with pytest.raises(ConfigError) as error:
        read(columns(), **{option: value})
    assert f"dataset.{option}" in str(error.value) and error.value.allowed == "class, colour, length"
    assert "did you mean" in str(error.value.remedy)


def test_no_target_and_no_inputs_are_refused() -> None:
    with pytest.raises(ConfigError, match="which column has the classes is not said") as error:
        table_data(config(), pa.table(columns()), None, TEST)
    assert "'length', 'colour', 'class'" in str(error.value.allowed)
    for ignored in (("length", "colour"), ("class",)):
        with pytest.raises(ConfigError, match="no column to learn from"):
            read(columns(), ignore=ignored)


def test_columns_without_a_name_or_of_one_name_are_refused() -> None:
    for names, said in (
        (["", "x", "class"], "column 1 without a name"),
        (["x", "x", "class"], "two columns called 'x'"),
    ):
        with pytest.raises(DataError) as error:
            table_data(config(), pa.table([*map(pa.array, columns().values())], names=names), "class", TEST)
        assert said in error.value.given


def test_attributes_that_could_not_be_kept_are_refused() -> None:
    for values, said in (([[1, 2]] * ROWS, "neither an input nor an attribute"), (["x" * 1001] * ROWS, "too long")):
        with pytest.raises(DataError, match=said):
            read(columns(odd=values), ignore=("odd",))


# ---------------------------------------------------------------------------------------------------------- invariants


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e300, 1e300), min_size=ROWS, max_size=ROWS), st.floats(1e-3, 1e3), st.integers(-50, 50))
def test_scale_and_origin_of_a_number_do_not_matter(values: list[float], scale: float, shift: int) -> None:
    own = np.asarray(values[:30])
    if own.max() - own.min() < 1e-3 * max(1.0, np.abs(own).max()):
        values = [value + row * (1 + abs(value)) for row, value in enumerate(values)]
    small = [value / 1e4 + 0.5 for value in values]
    try:
        first = everything(read(columns(length=small)))
        moved = everything(read(columns(length=[value * scale + shift for value in small])))
    except DataError as error:
        assert "2^53" in error.given or "beyond all measure" in error.given or "in all rows" in error.given
        return
    assert np.allclose(first, moved, rtol=1e-3, atol=1e-3)


def test_what_decides_of_the_rows_is_in_the_facts() -> None:
    told = {facts(config(**one)) for one in ({}, {"target": "x"}, {"missing": "drop"}, {"ignore": ("a",)})}
    assert len(told) == 4


def test_a_golden_table() -> None:
    """The same on every machine: keys rest on it."""
    raw = read(columns(length=[0.1 * row**2 for row in range(ROWS)]))
    assert raw.train.images[:3, 0].tobytes().hex() == "bb838cbf97058cbf298b8abf"
