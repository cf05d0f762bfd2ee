"""Samples by their attributes: a slow oracle, unseen samples by the same rule or by class, spelling, refusals."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.samples import Labelled
from deepunlearn.core.validation import validate
from deepunlearn.data.attributes import Attributes
from deepunlearn.forget.where import WhereForget
from tests.forget.small_sets import ATTRIBUTES, CLASSES, DATA, TEST, TRAIN, cut


def of(**where: Any) -> WhereForget:
    return validate(WhereForget, {"name": "where", "where": where}, "forget")


def by_hand(columns: Any, **where: Any) -> list[int]:
    """The rows that meet all conditions, one after the other."""

    def holds(value: Any, wanted: Any) -> bool:
        if isinstance(wanted, dict):
            return bool(wanted.get("from", -1e9) <= value <= wanted.get("to", 1e9))
        return value in (wanted if isinstance(wanted, list) else [wanted])

    size = len(next(iter(columns.values())))
    return [row for row in range(size) if all(holds(columns[name][row], wanted) for name, wanted in where.items())]


@pytest.mark.parametrize(
    "where",
    [
        {"age": {"from": 10, "to": 20.3}},
        {"age": {"to": 12}},
        {"age": {"from": 71.25}},
        {"colour": "red", "age": {"from": 20}},
        {"colour": ["red", ""], "group": 0},
        {"group": True, "colour": "green", "age": {"from": 5, "to": 70}},
    ],
)
def test_all_conditions_hold_of_the_forgotten_and_of_the_unseen(where: dict[str, Any]) -> None:
    split = cut(of(**where))
    expected = by_hand(ATTRIBUTES.train, **where)
    assert split.forget.tolist() == [row for row in expected if row not in set(split.val.tolist())]
    assert split.unseen_test is not None and split.unseen_val is not None
    assert split.unseen_test.tolist() == by_hand(ATTRIBUTES.test, **where)
    matching = set(expected) & set(split.val.tolist())
    if len(matching) >= 10:
        assert set(split.unseen_val.tolist()) == matching
    else:
        assert any(remark.startswith("validation part: matched by class") for remark in split.remarks)


def test_persons_without_other_pictures_are_matched_by_class() -> None:
    split = cut(of(person=[3, 5]))
    assert split.unseen_test is not None and split.unseen_val is not None
    counts = np.bincount(TRAIN[split.forget], minlength=4)
    for labels in (TEST[split.unseen_test], TRAIN[split.unseen_val]):
        shares = np.bincount(labels, minlength=4) / len(labels)
        assert np.abs(shares - counts / counts.sum()).max() < 1 / len(labels) + 0.02
    assert "test part: matched by class: it has no sample of person 3, 5" in split.remarks
    assert any(remark.startswith("validation part: matched by class: it has ") for remark in split.remarks)


def test_columns_that_the_test_part_lacks_are_matched_by_class() -> None:
    data = Labelled(TRAIN, TEST, CLASSES, Attributes({"colour": ATTRIBUTES.train["colour"]}, {}))
    split = cut(of(colour="red"), data)
    assert "test part: matched by class: it lacks what colour red asks for" in split.remarks
    assert split.unseen_test is not None and len(split.unseen_test) > 150


def test_classes_that_the_rule_picks_whole_are_forgotten_whole() -> None:
    split = cut(of(group=1))
    assert split.forgotten_classes == (2, 3) and set(TRAIN[split.retain]) == {0, 1}
    assert cut(of(group=1, age={"from": 0})).forgotten_classes == (3,), "some of class 2 are of no known age"


def test_a_class_that_is_lost_since_the_validation_part_has_the_rest_is_refused() -> None:
    train = np.array([0] * 200 + [1] * 200 + [2] * 40)
    plain = cut(of(rare={"from": 1}), _rare(train, np.arange(440) >= 400))
    assert plain.forgotten_classes == (2,)
    rest = np.isin(np.arange(440), plain.val)  # of class 2 the rule picks what is not in the validation part
    with pytest.raises(ConfigError, match="no sample of some classes"):
        cut(of(rare={"from": 1}), _rare(train, (np.arange(440) >= 400) & ~rest))


def _rare(train: np.ndarray, mask: np.ndarray) -> Labelled:
    return Labelled(train, np.arange(90) % 3, CLASSES[:3], Attributes({"rare": mask.astype(np.int64)}, {}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"person": [5, 3]}, {"person": [3, 5, 3]}),
        ({"person": 5}, {"person": [5.0]}),
        ({"group": 1}, {"group": True}),
        ({"age": {"from": 1}}, {"age": {"from": 1.0}}),
        ({"person": {"from": 4.5, "to": 9.9}}, {"person": {"from": 5, "to": 9}}),
        ({"colour": "red", "group": 1}, {"group": 1, "colour": ["red"]}),
    ],
)
def test_keys_do_not_depend_on_spelling(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert of(**one).key_fields(DATA) == of(**other).key_fields(DATA) != of(person=7).key_fields(DATA)
    assert np.array_equal(by_hand(ATTRIBUTES.train, **one), by_hand(ATTRIBUTES.train, **other))


def test_keys_hold_the_columns_that_are_read_and_no_others() -> None:
    first = of(person=3).key_fields(DATA)

    def changed(part: str, name: str) -> dict[str, Any]:
        columns = {**getattr(ATTRIBUTES, part), name: np.roll(getattr(ATTRIBUTES, part)[name], 1)}
        parts = {"train": ATTRIBUTES.train, "test": ATTRIBUTES.test, part: columns}
        return of(person=3).key_fields(Labelled(TRAIN, TEST, CLASSES, Attributes(**parts)))

    assert changed("train", "colour") == changed("test", "age") == first
    assert changed("train", "person") != first != changed("test", "person")
    wide = {**ATTRIBUTES.train, "colour": ATTRIBUTES.train["colour"].astype("<U40")}
    again = of(colour="red").key_fields(Labelled(TRAIN, TEST, CLASSES, Attributes(wide, ATTRIBUTES.test)))
    assert again == of(colour="red").key_fields(DATA)


def test_large_whole_numbers_are_told_apart() -> None:
    number = 2**53
    train = Attributes({"id": np.where(np.arange(800) < 400, number, number + 1)}, {})
    split = cut(of(id=number + 1), Labelled(TRAIN, TEST, CLASSES, train))
    assert split.forget.min() >= 400


def test_numbers_that_are_rounded_name_nobody() -> None:
    number = 2**53 + 2
    train = Attributes({"id": np.where(np.arange(800) < 400, np.nan, number)}, {})
    data = Labelled(TRAIN, TEST, CLASSES, train)
    with pytest.raises(ConfigError, match="numbers beyond 2\\^53, which are rounded") as error:
        cut(of(id=number), data)
    assert error.value.given == str(number) and f"forget.where={{id: n{number}}}" in error.value.remedy
    assert cut(of(id={"from": 2**53}), data).forget.min() >= 400


def test_whole_numbers_are_shown_as_given() -> None:
    with pytest.raises(ConfigError, match="no training sample has this value") as error:
        cut(of(person=2**53 + 1))
    assert error.value.given == str(2**53 + 1)


def test_titles() -> None:
    titles = {
        "2 persons": of(identity=[2820, 3227]),
        "person 2820": of(identity=2820),
        "coarse fish, trees": of(coarse=["fish", "trees"]),
        "5 values of coarse": of(coarse=["a", "b", "c", "d", "e"]),
        "age 10 to 20 and gender 1": of(gender=1, age={"from": 10, "to": 20}),
        "age from 60": of(age={"from": 60}),
        "age to 3.5": of(age={"to": 3.5}),
    }
    assert list(titles) == [one.title for one in titles.values()]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"persons": 3}, ["unknown attribute 'persons'", "did you mean 'person'", "age, colour, group"]),
        ({"person": [3, 999, 1000]}, ["no training sample has this value", "999, 1000", "40 values"]),
        ({"person": 3.5}, ["no training sample has this value", "3.5"]),
        ({"colour": "gren"}, ["no training sample has this value", "did you mean green"]),
        ({"colour": 3}, ["'colour' holds texts", "given:   3", "quotes"]),
        ({"colour": {"from": 3}}, ["'colour' holds texts", "a range, from 3"]),
        ({"person": "3"}, ["'person' holds whole numbers", "'3'"]),
        ({"age": "old"}, ["'age' holds numbers", "or ranges"]),
        ({"age": {"from": 1000}}, ["empty", "0 of 800", "widen forget.where"]),
        ({"person": 3, "age": {"from": 50}}, ["empty", "0 of 800"]),
        ({"person": {"from": 0}}, ["is everything", "narrow forget.where"]),
    ],
)
def test_a_rule_that_picks_nothing_or_everything_is_refused(where: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        cut(of(**where))
    assert error.value.given and error.value.allowed and error.value.remedy
    for one in told:
        assert one in str(error.value)


def test_data_without_attributes_say_so() -> None:
    with pytest.raises(ConfigError, match="dataset has no attributes") as error:
        cut(of(person=3), Labelled(TRAIN, TEST, CLASSES))
    assert "forget=list" in str(error.value.remedy)


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("null", "does not say which samples"),
        ("age", "does not say which samples"),
        ("{}", "does not say which samples"),
        ("{age: null}", "age: None"),
        ("{age: []}", "age: []"),
        ("{age: [[1]]}", "age: [[1]]"),
        ("{age: {form: 3}}", "age: {'form': 3}"),
        ("{age: {from: x}}", "age: {'from': 'x'}"),
        ("{age: {from: 5, to: 3}}", "from 5 to 3"),
    ],
)
def test_rules_that_say_nothing_are_refused_as_the_command_is_read(where: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_command(["forget=where", f"forget.where={where}"])
    assert told in str(error.value) and error.value.allowed and error.value.remedy


def test_the_command_takes_values_lists_and_ranges() -> None:
    command = ["forget=where", "forget.where={identity: [2820, 3227], name: 'a b', age: {from: 10, to: 20.5}}"]
    forget = read_command(command).sweep.cells[0].forget
    assert forget.model_dump(mode="json")["where"] == {
        "identity": [2820, 3227],
        "name": ["a b"],
        "age": {"from": 10, "to": 20.5},
    }
    assert read_command(["forget=where", "forget.where.age=3"]).sweep.cells[0].forget == of(age=3)


def test_two_hundred_thousand_rows_take_less_than_a_second() -> None:
    persons = np.random.RandomState(0).randint(0, 10_177, 202_599)
    names = persons.astype(str)
    parts = slice(162_770), slice(162_770, None)
    columns = [{"identity": persons[part], "name": names[part]} for part in parts]
    data = Labelled(np.arange(162_770) % 2, np.arange(39_829) % 2, ("no", "yes"), Attributes(*columns))
    forget = of(identity=list(range(20)), name=[str(one) for one in range(500)])
    start = time.process_time()
    split = cut(forget, data)
    forget.key_fields(data)
    assert time.process_time() - start < 1 and len(split.forget) > 100
