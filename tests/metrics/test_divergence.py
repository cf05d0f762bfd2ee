"""Divergences in bits: known answers, a plain loop, and what holds for any outputs."""

from __future__ import annotations

from math import exp, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax

from deepunlearn.metrics.divergence import apart, jensen_shannon, log_shares

LOGITS = arrays(np.float32, (6, 3), elements=st.floats(-50, 50, width=32))


def plain(retrained: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Sample by sample and class by class, from the definitions."""
    kl, js = [], []
    for one, two in zip(retrained.astype(float), other.astype(float), strict=True):
        p, q = ([exp(value - max(row)) for value in row] for row in (one, two))
        p, q = [value / sum(p) for value in p], [value / sum(q) for value in q]
        middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        kl.append(sum(a * log2(a / b) for a, b in zip(p, q, strict=True)))
        js.append(sum(a * log2(a / m) + b * log2(b / m) for a, b, m in zip(p, q, middle, strict=True)) / 2)
    return float(np.mean(kl)), float(np.mean(js))


def test_it_is_the_plain_loop() -> None:
    one, two = np.random.RandomState(0).randn(2, 40, 5)
    assert apart(one, two) == pytest.approx(plain(one, two))


@given(LOGITS)
def test_log_shares_are_scipys_bit_for_bit(logits: np.ndarray) -> None:
    assert np.array_equal(log_shares(logits), log_softmax(logits.astype(np.float64), axis=1))


def test_known_answers() -> None:
    sure, unsure = np.log([[0.75, 0.25]]), np.log([[0.5, 0.5]])
    assert apart(sure, unsure)[0] == pytest.approx(0.75 * log2(1.5) + 0.25 * log2(0.5))
    assert apart(unsure, sure)[0] == pytest.approx(0.5 * log2(1 / 1.5) + 0.5)  # the retrained model comes first
    assert jensen_shannon(np.array([[1.0, 0]]), np.array([[0.0, 1]])).tolist() == [1]  # a bit, not log 2


@given(LOGITS, LOGITS)
def test_of_any_outputs(one: np.ndarray, two: np.ndarray) -> None:
    kl, js = apart(one, two)
    assert np.isfinite(kl) and kl >= 0 and 0 <= js <= 1
    assert js == pytest.approx(apart(two, one)[1], abs=1e-12)
    assert apart(one, one + 3) == pytest.approx((0, 0), abs=1e-6)
    assert np.exp(log_shares(one)).sum(axis=1) == pytest.approx(np.ones(6))
