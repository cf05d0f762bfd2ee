"""Optimisers against torch's plain loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from deepunlearn.core.schema import CpuKernels
from deepunlearn.kernels import switch
from deepunlearn.ops import optim

SHAPES = [(8, 4, 3, 3), (16, 8, 1, 1), (5, 8), (5,)]
CASES = {
    "sgd": (optim.sgd, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01, "lr": 0.1}),
    "adam": (optim.adam, torch.optim.Adam, {"weight_decay": 0.01, "lr": 0.1}),
}


def weights(seed: int = 0) -> list[Tensor]:
    """Channels last where they have four dimensions."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(shape, generator=generator) for shape in SHAPES]
    placed = [value.to(memory_format=torch.channels_last) if value.ndim == 4 else value for value in drawn]
    return [value.requires_grad_() for value in placed]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("like_weights", [True, False])
@pytest.mark.parametrize("kernels", ["auto", "off"])
def test_steps_are_those_of_the_plain_loop(name: str, like_weights: bool, kernels: CpuKernels) -> None:
    """Whatever the strides of the gradients: those of the weights, or others; with CPU kernels and without."""
    made, plain, options = CASES[name]
    mine, expected = weights(), weights()
    with switch.visit(kernels):
        optimizers = made(mine, **options), plain(expected, foreach=False, fused=False, **options)
    assert optimizers[0].defaults["fused"] == (kernels == "auto")
    for step in range(3):
        for weight, other, value in zip(mine, expected, weights(seed=step + 1), strict=True):
            other.grad = value.detach()
            weight.grad = value.detach() if like_weights else value.detach().contiguous()
        for optimizer in optimizers:
            optimizer.step()
    for weight, other in zip(mine, expected, strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [optim.sgd, optim.adam])
def test_shapes_and_strides_are_the_same_after_a_step(make: Callable[..., torch.optim.Optimizer]) -> None:
    """Of weights, gradients and what the optimiser keeps; the weights stay where they are in memory."""
    placed = weights()
    optimizer = make(placed, lr=0.1)
    for _ in range(2):
        for weight in placed:
            weight.grad = torch.ones_like(weight)
        before = [(weight.shape, weight.stride()) for weight in placed]
        addresses = [weight.data_ptr() for weight in placed]
        optimizer.step()
        assert [weight.data_ptr() for weight in placed] == addresses
        for weight, known in zip(placed, before, strict=True):
            kept = [value for value in optimizer.state[weight].values() if value.ndim]
            assert kept
            for value in (weight, weight.grad, *kept):
                assert (value.shape, value.stride()) == known


@pytest.mark.parametrize("make", [optim.sgd, optim.adam])
def test_the_state_goes_through_a_state_dict(make: Callable[..., torch.optim.Optimizer]) -> None:
    whole, first = weights(), weights()
    optimizer, before = make(whole, lr=0.1), make(first, lr=0.1)
    for step in range(4):
        if step == 2:
            after = make(first, lr=0.1)
            after.load_state_dict(before.state_dict())
        for weight, other, value in zip(whole, first, weights(seed=step + 1), strict=True):
            weight.grad, other.grad = value.detach(), value.detach().clone()
        optimizer.step()
        (before if step < 2 else after).step()
    for weight, other in zip(whole, first, strict=True):
        assert torch.equal(weight, other)


@pytest.mark.parametrize("make", [optim.sgd, optim.adam])
def test_what_a_mask_holds_stays(make: Callable[..., torch.optim.Optimizer]) -> None:
    (weight, *_) = weights()
    before, mask = weight.detach().clone(), torch.rand_like(weight) < 0.5
    optimizer = make([weight], lr=0.1, weight_decay=0.1, masks={weight: mask})
    for _ in range(3):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert torch.equal(weight == before, ~mask)
