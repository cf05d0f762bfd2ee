"""Axes of the page: what is better is never past what is worse, and whatever there is has a place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.analysis.page.scales import CLOSEST, Scale, scale_of
from deepunlearn.metrics.catalogue import BUILT_IN

RETDEV, INDISC, RTE = BUILT_IN["RetDev"], BUILT_IN["Indisc"], BUILT_IN["RTE"]


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=20))
def test_values_keep_their_order_and_stay_inside(values: list[float]) -> None:
    scale = scale_of(RETDEV, values)
    places = [scale.at(value) for value in sorted(values)]
    assert places == sorted(places) and places[0] >= 0 and places[-1] <= 1
    assert scale.low <= 0 <= min(values) and max(values) <= scale.high
    assert len(scale.ticks) >= 2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_an_axis_of_indisc_ends_at_the_best(values: list[float]) -> None:
    scale = scale_of(INDISC, values)
    assert scale.at(1.0) == 1.0 and scale.high == 1.0 and all(0 <= tick <= 1 for tick in scale.ticks)
    assert not scale.curved


def test_only_values_far_apart_need_a_logarithm() -> None:
    assert not scale_of(RETDEV, [0.02, 0.3]).curved
    far = scale_of(RETDEV, [0.02, 400.0])
    assert far.curved and far.note and far.at(400.0) < 1
    assert far.at(0.1) - far.at(0.0) == pytest.approx(far.at(10.0) - far.at(1.0)), "a decade takes as much as 0 to 0.1"
    gaps = [far.at(after) - far.at(before) for before, after in zip(far.ticks, far.ticks[1:], strict=False)]
    assert min(gaps) >= CLOSEST, "their names would touch"


def test_equal_values_have_an_axis() -> None:
    assert scale_of(RTE, [3.0, 3.0]).high > 3.0
    assert scale_of(RTE, []).high > scale_of(RTE, []).low


def test_what_lies_beyond_is_at_the_end() -> None:
    assert Scale(0, 1, (0, 1)).at(5) == 1.0 and Scale(0, 1, (0, 1)).at(-5) == 0.0


def test_an_axis_has_a_length_where_no_model_has_a_value_or_all_are_equal() -> None:
    for scale in (scale_of(INDISC, []), scale_of(INDISC, [1.0]), scale_of(RETDEV, [])):
        assert scale.low < scale.high and scale.at(scale.low) == 0 and scale.at(scale.high) == 1
