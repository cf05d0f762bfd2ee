"""Stacked networks against each of them by itself."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.archs.small import SmallNet
from deepunlearn.ops.optim import sgd
from deepunlearn.ops.stacked import Stacked, StackedSGD, cross_entropies, why_apart

RATES, DECAYS = [0.1, 0.02, 0.05], [0.0, 0.01, 0.1]


def network() -> SmallNet:
    torch.manual_seed(0)
    return SmallNet(4)


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(24, 3, 32, 32, generator=generator), torch.randint(4, (24,), generator=generator))
        for _ in range(count)
    ]


def together(original: nn.Module, steps: int, rates: list[float], train: bool = True) -> Stacked:
    stacked = Stacked(original, len(rates)).train(train)
    optimizer = StackedSGD(
        stacked.parameters(),
        lr=torch.tensor(rates, dtype=torch.float64),
        weight_decay=torch.tensor(DECAYS, dtype=torch.float64),
        momentum=0.9,
    )
    for x, y in batches(steps):
        optimizer.zero_grad()
        cross_entropies(stacked(x), y, stacked.count).sum().backward()
        optimizer.step()
    return stacked


def alone(original: nn.Module, steps: int, place: int, train: bool = True) -> nn.Module:
    model = copy.deepcopy(original).train(train)
    optimizer = sgd(model.parameters(), lr=RATES[place], weight_decay=DECAYS[place])
    for x, y in batches(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def close(stacked: Stacked, place: int, model: nn.Module) -> None:
    """All that is stored of them, running statistics and the count of batches with it."""
    taken = stacked.take_out(place, network()).state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(
            taken[name], value, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("train", [True, False])
def test_each_is_as_if_it_were_trained_by_itself(train: bool) -> None:
    """In both modes of batch normalisation."""
    original = network()
    stacked = together(original, 3, RATES, train)
    for place in range(3):
        close(stacked, place, alone(original, 3, place, train))


def test_one_that_is_not_finite_leaves_the_others_alone() -> None:
    original = network()
    stacked = together(original, 3, [RATES[0], float("inf"), RATES[2]])
    assert stacked.finite().tolist() == [True, False, True]
    for place in (0, 2):
        close(stacked, place, alone(original, 3, place))


def test_only_active_ones_are_passed_through() -> None:
    stacked = Stacked(network(), 3).train()
    stacked.active = 2
    (x, y), *_ = batches(1)
    losses = cross_entropies(stacked(x), y, 3)
    assert stacked(x).shape == (2, 24, 4) and losses[2] == 0 and (losses[:2] > 0).all()
    counts = [value for name, value in stacked.network.named_buffers() if name.endswith("num_batches_tracked")]
    assert counts and all(count.tolist() == [2, 2, 0] for count in counts)


class Asks(nn.Module):
    """Its way depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight if self.weight.sum() > 0 else x


@pytest.mark.parametrize(
    ("model", "word"), [(nn.Sequential(nn.Linear(3, 3), nn.Dropout()), "random"), (Asks(), "data-dependent")]
)
def test_what_cannot_be_stacked_says_why(model: nn.Module, word: str) -> None:
    assert word in str(why_apart(model, torch.ones(4, 3)))


def test_asking_moves_nothing() -> None:
    model, (x, _) = network(), batches(1)[0]
    before = copy.deepcopy(model.state_dict())
    assert why_apart(model, x) is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_shared_weight_is_stacked_once() -> None:
    first = nn.Linear(3, 3)
    second = nn.Linear(3, 3)
    second.weight = first.weight
    stacked = Stacked(nn.Sequential(first, second), 2)
    assert len(list(stacked.parameters())) == 3
    assert stacked(torch.ones(4, 3)).shape == (2, 4, 3)


class Scaled(nn.Linear):
    """With a weight and a buffer that are one number each."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))


def test_single_numbers_may_be_infinite_too() -> None:
    stacked = Stacked(Scaled(), 3)
    assert stacked.finite().tolist() == [True, True, True]
    with torch.no_grad():
        stacked.network.get_parameter("scale")[1] = torch.inf
        stacked.network.get_buffer("shift")[2] = torch.nan
    assert stacked.finite().tolist() == [True, False, False]
