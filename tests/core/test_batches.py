"""How passes are cut: each kind of remainder, the promises for all sizes, and which results a cut concerns."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn

import deepunlearn
from deepunlearn.core.batches import blocks, differ, fewest, training_batches


@pytest.mark.parametrize(
    ("samples", "batch_size", "sizes"),
    [
        (448, 64, [64] * 7),  # none
        (449, 64, [64] * 6 + [65]),  # a single sample joins the last batch, as it always did
        (450, 64, [64] * 5 + [65] * 2),
        (463, 64, [66] * 6 + [67]),  # more than there are batches: two or three for each
        (464, 64, [64] * 7 + [16]),  # enough to stand alone
        (480, 64, [64] * 7 + [32]),
        (511, 64, [64] * 7 + [63]),
        (271, 256, [271]),
        (272, 256, [256, 16]),
        (47, 32, [47]),
        (48, 32, [32, 16]),
        (19, 16, [19]),
        (23, 16, [23]),
        (24, 16, [16, 8]),  # half a batch
        (7, 4, [4, 3]),
        (5, 4, [5]),
        (5, 2, [2, 3]),
        (3, 1, [1, 1, 1]),
        (5, 100, [5]),  # one batch, however small: there is nothing to join
        (2, 64, [2]),
        (1, 64, [1]),
        (0, 4, []),
    ],
)
def test_a_small_remainder_is_spread_and_a_larger_one_stands_alone(
    samples: int, batch_size: int, sizes: list[int]
) -> None:
    assert training_batches(samples, batch_size) == sizes


@given(samples=st.integers(0, 5000), batch_size=st.integers(1, 600))
@example(samples=450, batch_size=64)
@example(samples=42_500, batch_size=256)
def test_what_holds_for_all_sizes(samples: int, batch_size: int) -> None:
    sizes = training_batches(samples, batch_size)
    assert sum(sizes) == samples and all(size > 0 for size in sizes)
    assert max(sizes, default=0) <= max(1.5 * batch_size, 2), "memory"
    assert len(sizes) in (samples // batch_size, -(-samples // batch_size))
    whole, last = sizes[:-1], sizes[-1:]
    assert max(whole, default=0) - min(whole, default=0) <= 1
    if len(sizes) > 1:
        assert min(whole) >= batch_size
        assert last[0] >= (1 if batch_size == 1 else fewest(batch_size))


@given(samples=st.integers(0, 5000), batch_size=st.integers(1, 600))
def test_what_was_cut_otherwise_before_is_what_has_another_rule_now(samples: int, batch_size: int) -> None:
    """The first rule is the one that evaluation keeps."""
    assert differ(samples, batch_size) == (training_batches(samples, batch_size) != blocks(samples, batch_size))


@pytest.mark.parametrize(
    ("samples", "size", "sizes"),
    [(34, 16, [16, 16, 2]), (33, 16, [16, 17]), (32, 16, [16, 16]), (17, 16, [17]), (3, 2, [3]), (1, 4, [1])],
)
def test_blocks_keep_their_remainder(samples: int, size: int, sizes: list[int]) -> None:
    assert blocks(samples, size) == sizes
    assert blocks(samples, 1) == [1] * samples


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
    """A remainder of two samples must not wreck a network with batch normalisation (results/bench/remainders.md)."""
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
