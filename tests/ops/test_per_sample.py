"""Gradients of single samples, and that a memory budget changes none of their results."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from deepunlearn.core.params import Value
from deepunlearn.ops import gradient_powers, per_sample
from deepunlearn.testing.small import runtime
from tests.methods.oracles import (
    DATA,
    FEW,
    SEED,
    close,
    everything,
    execute_on,
    flat,
    gradient,
    gradient_rows,
    near,
    student_of,
    trained,
)
from tests.networks import tiny, vit


@pytest.mark.parametrize("chunk", [1, 7])
def test_a_memory_budget_does_not_change_results(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    params: dict[str, Value] = {"alpha": 1e-4, "labels": "expected"}
    ample, _ = execute_on("ff", trained(), FEW, **params)
    sizes: list[int] = []

    def small(net: object, *_: object) -> int:
        sizes.append(chunk)
        return chunk

    monkeypatch.setattr(gradient_powers, "chunk_size", small)
    tight, _ = execute_on("ff", trained(), FEW, **params)
    assert sizes, "the budget is never looked at"
    close(ample, tight)


def test_the_budget_bounds_the_gradients_held_at_a_time() -> None:
    params = {"a": torch.zeros(10, 5), "b": torch.zeros(50)}  # 400 bytes
    assert [per_sample.chunk_size(params, budget) for budget in (1, 400, 799, 800, 4000)] == [1, 1, 1, 2, 10]
    assert per_sample.chunk_size(params) == per_sample.MOST_SAMPLES, "activations of small networks need memory too"


def test_per_sample_gradients_are_those_of_single_samples() -> None:
    net = student_of(trained())
    x, y = (values[:6] for values in everything("retain"))
    together = per_sample.per_sample(net)(per_sample.parameters_of(net), x, y)
    for index in range(6):
        for name, value in gradient(net, x[index], y[index]).items():
            torch.testing.assert_close(together[name][index], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("network", [tiny, vit])
def test_slopes_and_gradient_products_are_those_of_single_samples(network: Callable[[], nn.Module]) -> None:
    """Attention has fused kernels without a forward derivative."""
    net, (x, y) = network().eval(), everything("val")
    with runtime().seeded(SEED):
        direction = {name: torch.randn_like(value) for name, value in net.named_parameters()}
    rows = gradient_rows(net, DATA["val"])
    slopes = torch.stack([g @ flat(direction) for g in rows])
    near(per_sample.slopes(net, x, y, direction), slopes)
    near(flat(per_sample.gradient_products(net, x, y, direction)), slopes @ torch.stack(list(rows)))
