"""Before and after on one axis: where marks, intervals and ticks lie."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.deletion.pictures import LEFT, MOST_TICKS, RIGHT, WIDTH, Axis, picture
from deepunlearn.deletion.report import Estimate, Figure, Limits

LIMITS = Limits(accuracy_drop=0.02, attack_auc=0.05, relearn=True)
BEFORE, AFTER = Estimate(value=0.8, low=0.7, high=0.9), Estimate(value=0.5, low=0.4, high=0.6)


def figure(**changes: Any) -> Figure:
    own = {"name": "attack_auc", "title": "attack by the loss", "kind": "auc", "before": BEFORE, "after": AFTER}
    return Figure(**{**own, "samples": 20, **changes})


def drawn(one: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(picture(one, LIMITS))


@given(st.floats(0, 1), st.floats(0, 1))
def test_an_axis_of_shares_holds_its_values_between_few_ticks_and_stays_within_0_and_1(
    one: float, other: float
) -> None:
    axis = Axis([one, other], bounded=True)
    assert 0 <= axis.low <= min(one, other) and max(one, other) <= axis.high <= 1
    assert 2 <= len(axis.ticks) <= MOST_TICKS + 1
    assert axis.ticks[0] == pytest.approx(axis.low) and axis.ticks[-1] == pytest.approx(axis.high, abs=1e-6)
    assert LEFT <= float(axis.at(one)) <= WIDTH - RIGHT


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_axis_of_counts_holds_them_too(one: int, other: int) -> None:
    axis = Axis([0, one, other], bounded=False)
    assert axis.low <= 0 and axis.high >= max(one, other) and 2 <= len(axis.ticks) <= MOST_TICKS + 1


def test_marks_lie_at_the_values_and_whiskers_at_the_ends_of_the_intervals() -> None:
    axis = Axis([0.7, 0.8, 0.9, 0.4, 0.5, 0.6, 0.45, 0.55], bounded=True)
    image = drawn(figure())
    assert [mark.get("cx") for mark in image.iter("circle")] == [axis.at(0.8), axis.at(0.5)]
    assert [mark.get("class") for mark in image.iter("circle")] == ["mark hollow", "mark "]
    whiskers = [line.get("d") or "" for line in image.iter("path") if line.get("class") == "whisker"]
    assert [re.findall(r"^M([\d.]+) .*?H([\d.]+)M", line) for line in whiskers] == [
        [(axis.at(0.7), axis.at(0.9))], [(axis.at(0.4), axis.at(0.6))],
    ]  # fmt: skip
    (band,) = [line.get("d") for line in image.iter("path") if line.get("class") == "band"]
    assert band is not None and axis.at(0.45) in band and axis.at(0.55) in band


def test_counts_have_neither_interval_nor_band() -> None:
    image = drawn(figure(kind="steps", before=Estimate(value=0), after=Estimate(value=40)))
    assert [line.get("class") for line in image.iter("path")] == ["grid"]
    assert "before 0, after 40" in (image.get("aria-label") or "")


@pytest.mark.parametrize("missing", ["before", "after"])
def test_one_value_alone_is_not_drawn(missing: str) -> None:
    assert picture(figure(**{missing: None}), LIMITS) == ""


def test_equal_values_have_an_axis() -> None:
    same = Estimate(value=1.0)
    image = drawn(figure(kind="accuracy", before=same, after=same))
    assert [mark.get("cx") for mark in image.iter("circle")] == [f"{WIDTH - RIGHT:.1f}"] * 2


def test_a_title_cannot_leave_its_attribute() -> None:
    image = drawn(figure(title='"><script>x</script>'))
    assert image.get("aria-label", "").startswith('"><script>') and not list(image.iter("script"))
