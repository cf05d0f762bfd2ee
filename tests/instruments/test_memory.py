"""The peak of memory on a CPU: storages, once each, as long as anything refers to them."""

from __future__ import annotations

import torch
from torch import nn

from deepunlearn.instruments.memory import LiveBytes, Peak
from deepunlearn.testing.small import runtime


def test_what_is_freed_makes_room_and_views_take_none() -> None:
    with Peak(runtime()) as peak:
        first = torch.zeros(1000)
        second = first + 1
        view = second.view(10, 100)[3:]
        del second
        first.add_(1)
        del view
        third = first + 2
        del third
    assert peak.bytes == 8000
    assert first.sum() == 1000


def test_what_the_graph_keeps_counts_until_it_is_gone() -> None:
    network, rows = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5)), torch.randn(7, 10)
    with LiveBytes() as live:
        output = network(rows)
        assert live.now == 4 * 7 * (20 + 5), "what ReLU gave is kept for its gradient, what it got is not"
        output.sum().backward()
        del output
        assert live.now == 4 * sum(one.numel() for one in network.parameters()), "gradients"
    assert live.peak > live.now


def test_an_optimiser_shows() -> None:
    def peak(made: type[torch.optim.Optimizer]) -> int:
        layer = nn.Linear(100, 100)
        with Peak(runtime()) as found:
            optimizer = made(layer.parameters(), lr=0.1)  # type: ignore[call-arg]
            layer(torch.ones(1, 100)).sum().backward()
            optimizer.step()
        return found.bytes

    assert peak(torch.optim.Adam) - peak(torch.optim.SGD) >= 2 * 4 * 100 * 100


def test_equal_work_takes_equal_memory() -> None:
    def taken() -> int:
        with Peak(runtime()) as found:
            nn.Linear(30, 40)(torch.ones(5, 30)).relu().sum().backward()
        return found.bytes

    assert taken() == taken() > 0
