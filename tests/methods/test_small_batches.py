"""A remainder of two samples must not wreck a network with batch normalisation (results/bench/remainders.md)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import deepunlearn

DEPTH, WIDTH, POINTS = 8, 32, 640


def points() -> tuple[Tensor, Tensor]:
    """Overlapping classes, which a network can only learn by heart."""
    random = torch.Generator().manual_seed(0)
    y = torch.arange(POINTS) % 4
    return torch.randn(4, 16, generator=random)[y] + 3 * torch.randn(POINTS, 16, generator=random), y


def learnt_by_heart(x: Tensor, y: Tensor) -> nn.Module:
    torch.manual_seed(0)
    hidden = [m for _ in range(DEPTH) for m in (nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU())]
    net = nn.Sequential(nn.Linear(16, WIDTH), *hidden, nn.Linear(WIDTH, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(40):
        for chosen in torch.randperm(POINTS).split(64):
            optimizer.zero_grad()
            F.cross_entropy(net(x[chosen]), y[chosen]).backward()
            optimizer.step()
    return net.eval()


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    return float((net(x).argmax(1) == y).float().mean())


def test_fine_tuning_with_two_samples_left_over_is_as_good_as_with_none() -> None:
    x, y = points()
    original = learnt_by_heart(x, y)
    assert accuracy(original, x, y) > 0.85
    for seed in range(3):
        for count in (128, 130):
            retain, forget = (x[:count], y[:count]), (x[-100:], y[-100:])
            tuned = deepunlearn.unlearn(
                original, retain=retain, forget=forget, method="ft", seed=seed, lr=0.05, epochs=3, batch_size=64
            )
            assert accuracy(tuned, *retain) > 0.93, (seed, count)
