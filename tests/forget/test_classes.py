"""Whole classes are forgotten, or a share of each: who is, what the attack compares with, how it may be spelled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.samples import Labelled
from deepunlearn.forget.classes import ClassesForget
from tests.forget.small_sets import CLASSES, DATA, TEST, TRAIN, cut


def of(*classes: int | str, share: float = 1.0) -> ClassesForget:
    return ClassesForget(name="classes", classes=classes, share=share)


def test_a_whole_class_is_forgotten_and_compared_with_its_own_unseen_samples() -> None:
    split = cut(of(2))
    val = split.val
    assert np.array_equal(split.forget, np.setdiff1d(np.flatnonzero(TRAIN == 2), val))
    assert set(TRAIN[split.retain]) == {0, 1, 3} and split.forgotten_classes == (2,)
    assert np.array_equal(split.unseen_test, np.flatnonzero(TEST == 2))
    assert np.array_equal(split.unseen_val, val[TRAIN[val] == 2])
    assert not split.remarks


@given(share=st.floats(0.15, 0.9), classes=st.sets(st.integers(0, 3), min_size=1, max_size=3))
def test_a_share_is_taken_of_each_class(share: float, classes: set[int]) -> None:
    split = cut(of(*classes, share=share))
    candidates = np.bincount(TRAIN[split.train], minlength=4)
    expected = [round(share * candidates[label]) if label in classes else 0 for label in range(4)]
    assert np.bincount(TRAIN[split.forget], minlength=4).tolist() == expected
    assert split.forgotten_classes == () and set(TRAIN[split.retain]) == {0, 1, 2, 3}


def test_the_validation_set_does_not_depend_on_it() -> None:
    assert np.array_equal(cut(of(0)).val, cut(of(1, 3, share=0.5)).val)


@pytest.mark.parametrize("spelled", [of("dog", "bee"), of(1, "dog"), of(3, 1)])
def test_keys_do_not_depend_on_spelling(spelled: ClassesForget) -> None:
    first = of(1, 3)
    assert spelled.key_fields(DATA) == first.key_fields(DATA) != of(1, 2).key_fields(DATA)
    assert spelled.titled(CLASSES) == "classes bee, dog" == first.titled(CLASSES)
    assert np.array_equal(cut(spelled).forget, cut(first).forget)
    assert first.key_fields(DATA) != of(1, 3, share=0.5).key_fields(DATA)


def test_titles() -> None:
    assert of(2).title == "class 2" and of(2).titled(CLASSES) == "class cat" == of("cat").title
    assert of(2, share=0.25).titled(CLASSES) == "25 % of class cat"
    assert of(0, 1, 2, 3, share=0.5).titled(CLASSES) == "50 % of 4 classes"


NUMBERS = Labelled(TRAIN, TEST, ("1", "10", "2", "3"))


@pytest.mark.parametrize(
    ("forget", "data", "told"),
    [
        (of("cow"), DATA, ["unknown class 'cow'", "ape, bee, cat, dog"]),
        (of("dot"), DATA, ["unknown class 'dot'", "did you mean 'dog'"]),
        (of(4), DATA, ["no class has", "given:   4", "0 to 3", "ape, bee, cat, dog"]),
        (of(-1), DATA, ["no class has", "-1"]),
        (of(3, "dog"), DATA, ["names a class twice", "dog"]),
        (of(1), NUMBERS, ["may mean two classes", "named '10'", "named '1'", '["10"]']),
        (of(0, 1, 2, 3), DATA, ["is everything", "680 of 680", "forget.share"]),
        (of(1, share=0.001), DATA, ["empty", "forget.share"]),
        (of(1, share=0.999), DATA, ["no sample of class 1", "forget.share"]),
        (of(0, 1, 2), DATA, ["no model could be usable", "50 of 50 test samples of retained classes"]),
    ],
)
def test_what_cannot_be_forgotten_is_refused(forget: ClassesForget, data: Labelled, told: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        cut(forget, data)
    assert error.value.remedy
    for one in told:
        assert one in str(error.value)


def test_a_name_that_is_a_number_is_that_class() -> None:
    assert of("2").numbers(NUMBERS.class_names) == [2] and of("10").numbers(NUMBERS.class_names) == [1]
