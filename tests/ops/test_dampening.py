"""Dampening entry by entry, and its threshold against NumPy's percentile."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from deepunlearn.ops.dampening import dampen, percentile, ratios, threshold

importances = st.lists(st.floats(0, 1e3, allow_subnormal=False), min_size=5, max_size=5)


def row(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(importances, importances, st.floats(0, 20), st.floats(0, 5))
def test_each_weight_follows_the_rule(
    forget: list[float], all_data: list[float], alpha: float, strength: float
) -> None:
    weights = row([1.0, -2.0, 0.5, 3.0, 0.0])
    before = weights.clone()
    chosen = dampen({"w": weights}, {"w": row(forget)}, {"w": row(all_data)}, alpha, strength)
    expected, count = [], 0
    for weight, of_forget, of_all in zip(before.tolist(), forget, all_data, strict=True):
        above = of_forget > alpha * of_all
        count += above
        expected.append(weight * min(strength * of_all / of_forget, 1) if above else weight)
    assert chosen == count
    torch.testing.assert_close(weights, row(expected))
    assert (weights.abs() <= before.abs()).all(), "no weight grows, whatever the constant"


def test_equal_importances_scale_every_weight_by_the_constant() -> None:
    weights, same = row([1.0, -2.0, 4.0]), {"w": row([0.1, 5.0, 1e-12])}
    assert dampen({"w": weights}, same, same, 0.5, 0.25) == 3
    assert weights.tolist() == [0.25, -0.5, 1.0]


def test_what_neither_set_uses_stays_and_counts_as_ratio_zero() -> None:
    weights, nothing = row([1.0, -2.0]), {"w": row([0.0, 0.0])}
    assert dampen({"w": weights}, nothing, nothing, 0.0, 0.0) == 0
    assert weights.tolist() == [1.0, -2.0] and ratios(nothing, nothing).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
@pytest.mark.parametrize("percent", [0.0, 3.3, 50.0, 97.6, 100.0])
def test_percentiles_are_those_of_numpy(size: int, percent: float) -> None:
    values = torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    assert percentile(values, percent) == pytest.approx(float(np.percentile(values.numpy(), percent)), rel=1e-12)


def test_more_is_dampened_the_more_is_forgotten() -> None:
    values = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    above = [float((values > threshold(values, forgotten, 1000)).float().mean()) for forgotten in (1, 100, 500)]
    assert above == pytest.approx([math.log(1 + 100 * share) / 100 for share in (0.001, 0.1, 0.5)], abs=2e-4)
