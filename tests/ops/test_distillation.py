"""Losses between teacher and student against their formulas in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deepunlearn.ops import distillation


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    scaled = [value / temperature for value in logits]
    powers = [math.exp(value - max(scaled)) for value in scaled]
    return [value / math.fsum(powers) for value in powers]


def plain_kl(p: list[float], q: list[float]) -> float:
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


ROWS = st.integers(2, 5).flatmap(
    lambda classes: st.lists(
        st.tuples(*[st.lists(st.floats(-5, 5), min_size=classes, max_size=classes)] * 2), min_size=1, max_size=4
    )
)


TEMPERATURES = st.floats(0.5, 5)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, temperature=TEMPERATURES)
def test_distillation_losses_are_their_formulas(
    rows: list[tuple[list[float], list[float]]], temperature: float
) -> None:
    teacher, student = (torch.tensor([row[side] for row in rows], dtype=torch.float64) for side in (0, 1))
    p, q = ([softmax(row[side], temperature) for row in rows] for side in (0, 1))
    pairs = list(zip(p, q, strict=True))
    expected: dict[Callable[..., Tensor], float] = {
        distillation.kl: mean([plain_kl(a, b) for a, b in pairs]),
        distillation.soft_cross_entropy: mean(
            [-math.fsum(c * math.log(d) for c, d in zip(a, b, strict=True)) for a, b in pairs]
        ),
    }
    for loss, value in expected.items():
        assert float(loss(teacher, student, temperature)) == pytest.approx(value, abs=1e-9)
    uniform = [1 / len(p[0])] * len(p[0])
    plain = [softmax(row[1]) for row in rows]
    assert float(distillation.kl_from_uniform(student)) == pytest.approx(
        mean([plain_kl(uniform, row) for row in plain]), abs=1e-9
    )
    assert distillation.entropy(student).tolist() == pytest.approx(
        [-math.fsum(a * math.log(a) for a in row) for row in plain], abs=1e-9
    )


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, temperature=TEMPERATURES)
def test_contrast_pairs_every_forget_with_every_retain_sample(
    rows: list[tuple[list[float], list[float]]], temperature: float
) -> None:
    forget, retain = [row[0] for row in rows], [row[1] for row in rows] + [rows[0][0]]
    terms = []
    for z in forget:
        similarity = [math.fsum(a * b for a, b in zip(z, other, strict=True)) / temperature for other in retain]
        total = max(similarity) + math.log(math.fsum(math.exp(value - max(similarity)) for value in similarity))
        terms += [total - value for value in similarity]
    found = distillation.contrast(
        torch.tensor(forget, dtype=torch.float64), torch.tensor(retain, dtype=torch.float64), temperature
    )
    assert float(found) == pytest.approx(mean(terms), abs=1e-9)


def test_distillation_losses_stay_finite_for_confident_networks() -> None:
    sure, wrong = torch.tensor([[300.0, -300.0]], requires_grad=True), torch.tensor([[-300.0, 300.0]])
    for loss in (
        distillation.kl(wrong, sure), distillation.kl(sure, wrong), distillation.soft_cross_entropy(wrong, sure),
        distillation.kl_from_uniform(sure), distillation.entropy(sure).sum(),
    ):  # fmt: skip
        (gradient_of,) = torch.autograd.grad(loss, sure)
        assert bool(torch.isfinite(loss)) and bool(torch.isfinite(gradient_of).all())
