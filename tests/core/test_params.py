"""Hyper-parameters: ranges, types and roles."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deepunlearn.config import method_configs
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.params import ParamSpec, Range


def test_ranges_follow_the_space_the_epoch_limit_and_the_largest_batch() -> None:
    space = method_configs()["msg"].space
    assert space["epochs"].range("epochs", "paper", 37, None).high == 37
    assert space["batch_size"].range("batch_size", "paper", 37, 128).choices == (64, 128)
    scrub = method_configs()["scrub"].space["retain_batch_size"]
    assert scrub.range("retain_batch_size", "paper", 37, 128).choices == (64, 128), "every batch size is capped"
    assert isinstance(space["init_rate"].range("init_rate", "paper", 37, None).high, float)
    spec = ParamSpec(type="float", default=0.1, low=0, high=1, ours={"low": 1e-3, "log": True}, help="x")
    assert spec.range("x", "paper", 3, None).low == 0.0
    ours = spec.range("x", "ours", 3, None)
    assert ours.log and (ours.low, ours.high) == (1e-3, 1.0)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", 1.5),
        ("int", True),
        ("float", "x"),
        ("float", float("nan")),
        ("bool", 1),
        ("str", 3),
        ("float", float("inf")),
    ],
)
def test_values_of_another_type_are_refused(kind: str, value: object) -> None:
    spec = ParamSpec(type=kind, default=0, searched=False, help="x")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cannot be used"):
        spec.typed("x", value)


@pytest.mark.parametrize(("kind", "role"), [("str", "lr"), ("float", "batch_size"), ("bool", "epochs")])
def test_a_role_fits_its_type(kind: str, role: str) -> None:
    with pytest.raises(ValueError, match=f"role={role}"):
        ParamSpec(type=kind, role=role, default="1", help="x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"low": 0, "high": 1, "ge": 0.5}, "low"),
        ({"low": 0, "high": 2, "lt": 1}, "high"),
        ({"low": 0, "high": 0, "gt": 0}, "low"),
        ({"low": 1, "high": 2, "gt": 0, "ours": {"low": -1}}, "low"),
        ({"choices": (0.0, 1.0), "gt": 0}, "choices"),
    ],
)
def test_a_range_beyond_the_hard_limits_is_refused(fields: dict[str, Any], said: str) -> None:
    """Else a trial would draw what the method then refuses, hours into a search."""
    with pytest.raises(ValueError, match=f"{said} within the hard limits"):
        ParamSpec(type="float", default=1, help="x", **fields)


def test_whole_numbers_may_not_begin_at_what_is_excluded() -> None:
    with pytest.raises(ValueError, match="low within the hard limits"):
        ParamSpec(type="int", default=1, low=0, high=5, gt=0, help="x")


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.booleans())
def test_an_end_that_is_excluded_is_drawn_just_inside(low: float, width: float, at_high: bool) -> None:
    limits = Range(low=low, high=low + width)
    spec = ParamSpec(type="float", default=0, low=limits.low, high=limits.high, gt=low, lt=low + width, help="x")
    end = limits.high if at_high else limits.low
    assert end is not None
    moved = float(spec.inside(end, limits))
    assert spec.typed("x", moved) == moved and moved == pytest.approx(end, abs=2e-6 * width)
    middle = low + width / 2
    assert spec.inside(middle, limits) == middle, "what a hard limit does not exclude is left as it is drawn"


def test_numbers_are_typed() -> None:
    spec = ParamSpec(type="float", default=0, help="x")
    assert type(spec.typed("x", 1)) is float
    assert type(ParamSpec(type="int", default=0, help="x").typed("x", 3.0)) is int


@given(st.integers(1, 9), st.integers(0, 9), st.integers(-3, 20))
@example(epochs=1, fine=3, value=0)  # a range that ends before it begins has its low end alone
def test_a_value_comes_back_from_what_a_sampler_would_have_drawn(epochs: int, fine: int, value: int) -> None:
    spec = ParamSpec(type="int", default=1, between=(0, "epochs - fine"), help="whole epochs")
    known = {"epochs": epochs, "fine": fine}
    unit = spec.unit_of(value, known)
    assert 0 < unit < 1
    assert spec.integer_at(unit, known) == min(max(value, 0), max(epochs - fine, 0)), "itself, or the end next to it"


@pytest.mark.parametrize(
    ("limits", "value", "nearest"),
    [
        (Range(low=1e-4, high=0.1, log=True), 1.0, 0.1),
        (Range(low=1, high=8), 3, 3),
        (Range(low=1, high=8), 0, 1),
        (Range(low=0.0, high=1.0), "auto", None),
        (Range(choices=(64, 128)), 128, 128),
        (Range(choices=(64, 128)), 100, 128),
        (Range(choices=(64, 128)), 96, 64),
        (Range(choices=("cg", "svd")), "lu", None),
        (Range(choices=(True,)), False, None),
    ],
)
def test_a_value_outside_of_its_range_starts_at_the_end(limits: Range, value: object, nearest: object) -> None:
    assert limits.nearest(value) == nearest  # type: ignore[arg-type]
