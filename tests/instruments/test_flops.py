"""Operations counted against what they are by hand, whatever ways a network takes on this machine."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from deepunlearn.instruments.flops import Counting
from deepunlearn.kernels import dense, switch
from deepunlearn.kernels.dense import ROWS_FROM, Dense
from deepunlearn.kernels.small_maps import SmallMapConv2d
from deepunlearn.ops.per_sample import parameters_of, per_sample
from deepunlearn.testing.small import runtime

LABELS = torch.arange(8) % 4


def of_a_step(network: nn.Module, images: torch.Tensor) -> int:
    with Counting() as found:
        F.cross_entropy(network(images), LABELS[: len(images)]).backward()
    return found.flops


def test_a_linear_layer_by_hand() -> None:
    layer, rows = nn.Linear(5, 3), torch.randn(7, 5)
    with Counting() as forward:
        layer(rows)
    with Counting() as inference, torch.inference_mode():
        layer(rows)
    assert forward.flops == inference.flops == 2 * 7 * 5 * 3
    with Counting() as training:
        layer(rows).sum().backward()
    assert training.flops == 2 * forward.flops, "nobody asks for the gradient of the input"
    with Counting() as nothing:
        rows.relu() + 1
    assert nothing.flops == 0


@pytest.mark.parametrize("of_groups", [1, 2, 6])
def test_a_convolution_by_hand_in_groups_too(of_groups: int) -> None:
    """torch's formula has the gradient of the weights `groups` times."""
    layer = nn.Conv2d(6, 12, 3, stride=2, padding=1, groups=of_groups)
    maps = torch.randn(4, 6, 8, 8, requires_grad=True)
    with Counting() as found:
        layer(maps).sum().backward()
    assert found.flops == 3 * (2 * 4 * (4 * 4) * 12 * (6 // of_groups) * 9)


def test_a_transposed_convolution_by_hand() -> None:
    layer, maps = nn.ConvTranspose2d(6, 4, 2, stride=2), torch.randn(3, 6, 5, 5, requires_grad=True)
    with Counting() as found:
        layer(maps).sum().backward()
    assert found.flops == 3 * (2 * 3 * (5 * 5) * 6 * 4 * 4)


def test_gradients_sample_by_sample_take_what_those_of_a_batch_take() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten())
    network.append(nn.Linear(4 * 6 * 6, 4)).eval()
    images = torch.randn(8, 3, 8, 8)
    with Counting() as found:
        per_sample(network)(parameters_of(network), images, LABELS)
    assert found.flops == of_a_step(network, images)


def test_gradients_with_respect_to_the_input_are_counted() -> None:
    """Adversarial examples need them; torch's tracker of modules refuses them."""
    layer, rows = nn.Sequential(nn.Linear(5, 3)), torch.randn(7, 5, requires_grad=True)
    with Counting() as found:
        torch.autograd.grad(layer(rows).sum(), rows)
    assert found.flops == 2 * (2 * 7 * 5 * 3)


def test_attention_is_counted_however_it_is_computed() -> None:
    query, key, value = torch.randn(3, 2, 4, 10, 8)  # samples, heads, places, channels
    with Counting() as found:
        F.scaled_dot_product_attention(query, key, value)
    assert found.flops == 2 * (2 * 2 * 4 * 10 * 10 * 8)


def small_maps() -> nn.Sequential:
    """Every kernel of ours has a layer here: a stride of 2 on 4x4, 2x2, a 1x1 with a stride, a dense one."""
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.Conv2d(8, 8, 3, 1, 1),
        nn.Conv2d(8, 16, 1, 2),
        nn.Flatten(),
        nn.Linear(16, 4),
    )
    return nn.Sequential(*layers)


def test_our_kernels_count_as_what_they_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "PAYS", True)  # as on a processor where all of them are taken
    plain, fitted = small_maps(), runtime().to_device(small_maps())
    assert {SmallMapConv2d, Dense} <= set(map(type, fitted.modules()))
    images, labels = torch.randn(ROWS_FROM, 3, 4, 4), torch.arange(ROWS_FROM) % 4
    flops = []
    for network in (plain, fitted):
        with Counting() as found:
            F.cross_entropy(network(images), labels).backward()
        flops.append(found.flops)
    assert flops[0] == flops[1] > 0
    with FlopCounterMode(display=False) as as_it_runs:
        F.cross_entropy(fitted(images), labels).backward()
    assert as_it_runs.get_total_flops() != flops[0]


def test_afterwards_the_kernels_are_back() -> None:
    runtime()
    with Counting():
        assert not switch.on()
    assert switch.on()
    with pytest.raises(ValueError, match="mine"), Counting():
        raise ValueError("mine")
    assert switch.on()


def test_blocks_of_one_counter_add_up() -> None:
    layer, rows, found = nn.Linear(5, 3), torch.randn(7, 5), Counting()
    for _ in range(2):
        with found:
            layer(rows)
        layer(rows)
    assert found.flops == 2 * (2 * 7 * 5 * 3)
