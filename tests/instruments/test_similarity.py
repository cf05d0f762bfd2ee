"""Linear CKA and distances of blocks: known answers, invariances, an oracle in the space of features."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from deepunlearn import archs
from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.core.errors import NotApplicable
from deepunlearn.instruments.similarity import block_grams, gram, groups, linear_cka, relative_distance
from deepunlearn.testing.small import ARCHS, equal_states, model, parts, runtime, state

FORGET = parts()["forget"]


def features(seed: int, samples: int = 12, size: int = 5) -> Tensor:
    return torch.randn(samples, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_feature_space(one: Tensor, other: Tensor) -> float:
    """Kornblith et al. 2019, as they write it."""
    x, y = (value - value.mean(0) for value in (one, other))
    return float((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))


def cka(one: Tensor, other: Tensor) -> float:
    value = linear_cka(gram(one), gram(other))
    assert value is not None
    return value


def test_it_is_what_the_paper_says() -> None:
    one, other = features(0), features(1, size=7)
    assert cka(one, other) == pytest.approx(in_feature_space(one, other), abs=1e-12)
    assert 0 < cka(one, other) < 0.9


def test_rotation_shift_and_scale_do_not_matter_and_other_linear_maps_do() -> None:
    one = features(0)
    turned, _ = torch.linalg.qr(features(2, samples=5))
    assert cka(one, one) == pytest.approx(1)
    assert cka(one, 3 * one @ turned + 7) == pytest.approx(1)
    assert cka(one, one @ torch.diag(torch.tensor([9.0, 1, 1, 1, 1], dtype=torch.float64))) < 0.99


def test_features_that_have_nothing_in_common_get_zero_and_none_where_nothing_varies() -> None:
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert cka(signs[:, :1], signs[:, 1:]) == pytest.approx(0)
    assert linear_cka(gram(signs), gram(torch.ones(4, 3))) is None


def blocks_in_a_row(count: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 4), *(nn.Linear(4, 4) for _ in range(count)), nn.Linear(4, 4))


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (3, [1, 1, 1]), (4, [1] * 4), (7, [2, 2, 2, 1])])
def test_blocks_are_taken_together_from_the_fifth_on(count: int, sizes: list[int]) -> None:
    network = blocks_in_a_row(count)
    made = groups(Anatomy(network, {"blocks": [str(2 + place) for place in range(count)]}))
    assert [len(run) for run in made] == sizes
    assert [block for run in made for block in run] == list(network)[2 : 2 + count], "in their order"


def test_the_features_are_those_of_the_last_block_of_a_group_and_all_samples() -> None:
    network = blocks_in_a_row(7).eval()
    made = block_grams(network, Anatomy(network, {"blocks": list("2345678")}), FORGET, runtime())
    with torch.no_grad():
        images, _ = next(FORGET.blocks(len(FORGET)))
        expected = [gram(network[:end](images)) for end in (4, 6, 8, 9)]
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(made, expected, strict=True))


def hooks_of(network: nn.Module) -> list[list[object]]:
    """Of each layer: a network of timm has some from the start."""
    return [list(part._forward_hooks.values()) for part in network.modules()]


@pytest.mark.parametrize("arch", ["smallnet", "resnet18", "tinyvit"])
def test_networks_are_like_themselves_and_left_alone(arch: str) -> None:
    network, other = model(arch).eval(), model(arch, seed=1).eval()
    before, hooks, few = state(network), hooks_of(network), FORGET.subset(range(6))
    mine, theirs = (block_grams(one, archs.anatomy_of(ARCHS[arch], one), few, runtime()) for one in (network, other))
    assert [linear_cka(one, one) for one in mine] == pytest.approx([1.0] * len(mine))
    assert all(0 <= (linear_cka(*pair) or 0) < 1 for pair in zip(mine, theirs, strict=True))
    assert equal_states(before, state(network)) and hooks_of(network) == hooks


class Twice(nn.Module):
    """Calls its block twice, or not at all."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls, self.block, self.head = calls, nn.Linear(3072, 3072), nn.Linear(3072, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for _ in range(self.calls):
            x = self.block(x)
        return self.head(x)


@pytest.mark.parametrize("calls", [0, 2])
def test_a_block_whose_output_cannot_be_told_is_refused(calls: int) -> None:
    network = Twice(calls).eval()
    with pytest.raises(NotApplicable, match="Linear"):
        block_grams(network, Anatomy(network, {"blocks": ["block"]}), FORGET, runtime())


def test_distances_of_weights_are_relative_to_the_other_model() -> None:
    one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    with torch.no_grad():
        for layer, weights, bias in ((one, [3.0, 4.0], 0.0), (other, [3.0, 0.0], 4.0)):
            layer.weight.copy_(torch.tensor([weights]))
            layer.bias.fill_(bias)
    assert relative_distance([one], [other]) == pytest.approx(32**0.5 / 5)
    assert relative_distance([one], [one]) == 0
    assert relative_distance([one, one], [other, other]) == pytest.approx(32**0.5 / 5)
    assert relative_distance([nn.ReLU()], [nn.ReLU()]) is None
