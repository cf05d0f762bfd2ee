"""Who is retained, deleted, held out: nobody is in two places, and the attack compares like with like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.samples import Labelled
from deepunlearn.deletion.division import Division, divide
from deepunlearn.deletion.report import Limits

LIMITS = Limits(accuracy_drop=0.3, attack_auc=0.05, relearn=True)


def data(train: int = 60, test: int = 60, classes: int = 3) -> Labelled:
    return Labelled(np.arange(train) % classes, np.arange(test) % classes)


def divided(given: Labelled, rows: list[int], *, validation: bool = False, limits: Limits = LIMITS) -> Division:
    return divide(given, np.array(rows, dtype=np.int64), validation=validation, seed=0, limits=limits)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 59), min_size=1, max_size=50), st.booleans())
def test_each_sample_is_in_one_place(deleted: set[int], validation: bool) -> None:
    given = data()
    found = divided(given, sorted(deleted), validation=validation)
    assert sorted([*found.retain, *found.forget]) == list(range(60)) and set(found.forget) == deleted
    assert sorted([*found.held_out, *found.val]) == list(range(60))
    assert bool(len(found.val)) == validation
    assert list(found.split.test) == list(range(60)) and not len(found.split.val)


def test_the_attack_sees_unseen_samples_in_the_classes_proportions() -> None:
    given = data(train=90, test=60)
    found = divided(given, [0, 3, 6, 9, 10, 13])  # four of class 0, two of class 1
    unseen = given.test_labels[found.held_out[found.unseen]]
    assert np.bincount(unseen, minlength=3).tolist() == [20, 10, 0]
    assert found.twins is not None
    assert np.bincount(given.test_labels[found.held_out[found.twins]], minlength=3).tolist() == [4, 2, 0]


def test_a_class_that_no_unseen_sample_has_is_left_out_of_the_attack() -> None:
    given = Labelled(np.arange(60) % 3, np.arange(60) % 2)
    found = divided(given, [0, 1, 2, 3, 4, 5])
    assert given.train_labels[found.forget[found.compared]].tolist() == [0, 1, 0, 1]
    assert found.twins is None


def test_a_class_that_is_deleted_whole_is_known_as_such() -> None:
    assert divided(data(), list(range(1, 60, 3))).forgotten_classes == (1,)
    assert divided(data(), list(range(4, 60, 3))).forgotten_classes == ()


def test_another_seed_takes_other_validation_samples_and_the_same_one_the_same() -> None:
    rows = np.array([0, 1])
    one, again, other = (divide(data(), rows, validation=True, seed=seed, limits=LIMITS) for seed in (1, 1, 2))
    assert np.array_equal(one.val, again.val) and not np.array_equal(one.val, other.val)


def test_everything_cannot_be_deleted() -> None:
    with pytest.raises(ConfigError, match="nothing is left") as caught:
        divided(data(), list(range(51)))
    assert caught.value.given == "51 of 60 training samples"


@pytest.mark.parametrize(("test", "validation"), [(8, False), (180, True)])
def test_too_few_samples_to_show_anything_are_refused_before_anything_is_computed(test: int, validation: bool) -> None:
    limits = LIMITS.model_copy(update={"accuracy_drop": 0.025})
    with pytest.raises(ConfigError, match="too small to show") as caught:
        divided(data(test=test), [0], validation=validation, limits=limits)
    assert caught.value.allowed == "at least 150 held-out samples"
    divided(data(test=180), [0], limits=limits)
