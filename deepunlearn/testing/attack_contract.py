"""What every attack must keep, on the outputs of made models."""

from __future__ import annotations

import copy

import numpy as np

from deepunlearn.core.measure_config import Measure
from deepunlearn.metrics.added import Outputs, computed, membership
from deepunlearn.testing.measure_contract import LABELS, ORIGINAL, RETRAINED, logits

PARTS = ("forget", "test")


def area(attack: Measure, of: dict[str, np.ndarray]) -> float:
    """Under its ROC curve on a model with these logits, D_F against D_T."""
    value = computed(attack, Outputs(LABELS, 0, of, ORIGINAL, RETRAINED))[attack.columns[0].name]
    assert value is not None
    return float(value)


def test_each_sample_gets_a_finite_number(attack: Measure) -> None:
    for part in PARTS:
        for of in (ORIGINAL[part], RETRAINED[part], 50 * ORIGINAL[part], np.zeros_like(ORIGINAL[part])):
            membership(attack, of, LABELS[part])


def test_it_gives_the_same_twice_and_leaves_what_it_is_given(attack: Measure) -> None:
    given, labels = copy.deepcopy((ORIGINAL["forget"], LABELS["forget"]))
    first, again = (membership(attack, given, labels) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(given, ORIGINAL["forget"]) and np.array_equal(labels, LABELS["forget"])


def test_a_sample_is_judged_apart_from_those_beside_it(attack: Measure) -> None:
    of, labels, some = ORIGINAL["test"], LABELS["test"], np.arange(0, 80, 3)[::-1]
    whole, alone = membership(attack, of, labels), membership(attack, of[some], labels[some])
    assert np.allclose(whole[some], alone), "D_F and D_T are scored apart, so their numbers must mean the same"


def test_members_score_higher(attack: Measure) -> None:
    """The original fits the forget set better than the test set."""
    assert area(attack, ORIGINAL) > 0.55, "give likelier members the higher number"


def test_where_forget_and_test_set_are_alike_it_is_at_chance(attack: Measure) -> None:
    assert abs(area(attack, RETRAINED) - 0.5) < 0.2
    assert area(attack, logits(forget=4.0)) >= area(attack, logits(forget=2.5)) >= area(attack, logits(forget=1.0))
