"""Grad-CAM against its formula, on networks whose maps can be told, and where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepunlearn import archs
from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.core.errors import ConfigError, NotApplicable
from deepunlearn.kernels import choice, switch
from deepunlearn.ops.class_maps import Level, as_map, class_maps, level_of, require_package
from deepunlearn.testing.small import ARCHS, model
from tests.networks import vit

CPU = torch.device("cpu")
LABELS = torch.tensor([0, 2])


def images(size: int = 32) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


class Corner(nn.Module):
    """Logit 0 is the sum of the red pixels' blocks, logit 1 its negative: a map for class 0 is where red is."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 2, 4, stride=4, bias=False), nn.Conv2d(2, 2, 1, bias=False)
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            for layer in (self.first, self.second, self.head):
                layer.weight.zero_()
            self.first.weight[0, 0] = self.second.weight[0, 0] = self.head.weight[0, 0] = 1.0
            self.head.weight[1, 0] = -1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)).relu().mean(dim=(2, 3)))


def slow_cam(network: nn.Module, block: nn.Module, x: Tensor, label: int) -> Tensor:
    """Grad-CAM as the paper's equations 1 and 2 have it, of one image, at the block's own resolution, not scaled."""
    kept: list[Tensor] = []
    handle = block.register_forward_hook(lambda _, __, output: kept.append(output))
    logits = network.requires_grad_(True)(x[None])
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[0, label], kept[0])
    weights = [gradient[0, channel].mean() for channel in range(gradient.shape[1])]
    return torch.relu(sum(weight * kept[0][0, channel] for channel, weight in enumerate(weights))).detach()


def test_a_map_shows_where_the_label_comes_from_and_nothing_for_a_label_that_nothing_speaks_for() -> None:
    x = torch.zeros(2, 3, 16, 16)
    x[:, 0, :4, 12:] = 1.0  # red in the upper right corner
    where = Anatomy(Corner(), {"blocks": ["first", "second"]})
    network = where._model
    level = level_of(network, where, x, torch.tensor([0, 0]))
    assert level == Level(2, 2, 4, 4)
    found = class_maps(network, where, level, x, torch.tensor([0, 1]))
    assert found.shape == (2, 16, 16) and found.max() == pytest.approx(1.0, abs=1e-5)
    row, column = np.unravel_index(found[0].argmax(), (16, 16))
    assert row < 4 and column >= 12
    assert found[0, 8:, :8].max() == 0 and found[1].max() == 0


@pytest.mark.parametrize("kernels", ["auto", "off"])
def test_it_is_the_papers_formula_with_our_kernels_and_without(kernels: str) -> None:
    with switch.visit(kernels):  # type: ignore[arg-type]
        network = choice.fit(model("smallnet").eval(), CPU)
        where = archs.anatomy_of(ARCHS["smallnet"], network)
        level = level_of(network, where, images(), LABELS)
        found = class_maps(network, where, level, images(), LABELS)
        assert level == Level(2, 2, 4, 4)
        for number, label in enumerate(LABELS.tolist()):
            slow = slow_cam(network, where.blocks[1], images()[number], label)
            slow = (slow - slow.min()) / (1e-7 + (slow - slow.min()).max())
            centres = found[number][4::8, 4::8]  # enlarging keeps the order of places
            assert np.corrcoef(centres.ravel(), slow.numpy().ravel())[0, 1] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "level"),
    [("resnet18", Level(2, 4, 4, 4)), ("tinyvit", Level(1, 3, 4, 4))],
)
def test_at_32_pixels_the_last_block_with_places_of_a_large_network_is_taken(arch: str, level: Level) -> None:
    network = choice.fit(model(arch).eval(), CPU)
    where = archs.anatomy_of(ARCHS[arch], network)
    assert level_of(network, where, images(), LABELS) == level
    found = class_maps(network, where, level, images(), LABELS)
    assert found.shape == (2, 32, 32) and found.min() >= 0 and found.max() <= 1 and found.std() > 0.05


@pytest.mark.slow
def test_at_224_pixels_it_is_resnets_last_block() -> None:
    network = model("resnet18").eval()
    where = archs.anatomy_of(ARCHS["resnet18"], network)
    assert level_of(network, where, images(224), LABELS) == Level(4, 4, 7, 7)


def test_of_a_vit_the_last_block_whose_patches_decide() -> None:
    network = vit().eval()
    where = Anatomy(network, {})
    level = level_of(network, where, images(), LABELS)
    assert level == Level(2, 3, 4, 4), "of the last one only the class token is read"
    assert class_maps(network, where, level, images(), LABELS).std() > 0.05


def test_patches_stand_row_by_row_behind_other_tokens_and_channels_may_be_last() -> None:
    tokens = torch.arange(10.0).view(1, 10, 1)
    mapped = as_map(tokens)
    assert mapped is not None and mapped[0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    maps = torch.randn(1, 5, 4, 4)
    first, last = as_map(maps), as_map(maps.permute(0, 2, 3, 1))
    assert first is not None and last is not None and torch.equal(first, maps) and torch.equal(last, maps)
    assert as_map(torch.zeros(2, 7)) is None and as_map(torch.zeros(2, 12, 7)) is None


def test_the_model_is_left_as_it_was() -> None:
    network = model("smallnet").requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    where = archs.anatomy_of(ARCHS["smallnet"], network)
    class_maps(network, where, level_of(network, where, images(), LABELS), images(), LABELS)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(one.requires_grad or one.grad is not None for one in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_without_places_is_refused_with_the_reason() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 1024, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(NotApplicable, match="keeps the places of an image"):
        level_of(flat, Anatomy(flat, {}), images(), LABELS)


def test_the_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    require_package()
    monkeypatch.setattr("deepunlearn.ops.class_maps.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'deepunlearn\[panels\]'"):
        require_package()
