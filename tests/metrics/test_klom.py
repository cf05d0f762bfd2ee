"""KLoM against its definition written out, known answers, what it must not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepunlearn.metrics import klom as klom_module
from deepunlearn.metrics.klom import klom

Column = list[float]


def slow(unlearned: Column, retrained: Column) -> float:
    """Of one sample, bin by bin."""
    one, other = ([min(max(value, -100.0), 100.0) for value in side] for side in (unlearned, retrained))
    low, high = min(one + other), max(one + other)
    width = (high - low) / 20 if high > low else 1 / 20

    def shares(side: Column) -> Column:
        bins = [min(int((value - low) / width), 19) for value in side]
        return [(bins.count(number) / len(side) + 1e-5) / (1 + 20e-5) for number in range(20)]

    return math.fsum(p * math.log(p / q) for p, q in zip(shares(one), shares(other), strict=True))


def test_agrees_with_the_definition_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(klom_module, "_SAMPLES", 7)  # several blocks
    generator = np.random.default_rng(0)
    one, other = generator.normal(0, 60, (12, 25)), generator.normal(20, 30, (30, 25))
    one[:, 3] = other[:, 3] = 2.0
    expected = [slow(one[:, x].tolist(), other[:, x].tolist()) for x in range(25)]
    np.testing.assert_allclose(klom(one, other), expected, rtol=1e-9, atol=1e-12)


def test_equal_sets_are_at_zero_and_separate_ones_at_the_floor_s_logarithm() -> None:
    one = np.arange(40.0).reshape(20, 2)
    assert klom(one, one) == pytest.approx([0, 0])
    apart = klom(np.zeros((10, 1)), np.ones((10, 1)))
    assert apart == pytest.approx([math.log(1e5)], rel=1e-3)


def test_the_order_is_unlearned_against_retrained() -> None:
    """Half of the unlearned values lie where no retrained one does: that costs; the other way round it does not."""
    narrow, wide = np.repeat([[0.0]], 20, axis=0), np.tile([[0.0], [10.0]], (10, 1))
    assert klom(narrow, wide)[0] == pytest.approx(math.log(2), rel=1e-3)
    assert klom(wide, narrow)[0] > 5


def test_margins_beyond_100_count_as_100() -> None:
    one, other = np.array([[0.0], [100.0], [3.0]]), np.array([[0.0], [50.0], [60.0]])
    further = one.copy()
    further[1] = 1e6
    assert klom(one, other) == klom(further, other)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_the_order_of_models_and_of_samples_plays_no_part(seed: int) -> None:
    generator = np.random.default_rng(seed)
    one, other = generator.normal(size=(2, 10, 6))
    mixed, columns = generator.permutation(10), generator.permutation(6)
    np.testing.assert_array_equal(klom(one, other)[columns], klom(one[mixed][:, columns], other[:, columns]))
