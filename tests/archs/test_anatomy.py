"""Where stem, blocks, hidden classifier layers and head are found in networks that are not ours."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from functools import cache

import pytest
import timm
import torch
import torchvision
from torch import nn

from deepunlearn.archs.anatomy import Anatomy
from deepunlearn.core.errors import ConfigError, DeepUnlearnError, NotApplicable
from deepunlearn.ops.last_blocks import last_blocks, parameters_of
from tests.networks import vit

CLASSES = 4


def conv_unit(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out), nn.ReLU()]


def plain() -> nn.Module:
    """Layers in a row, without pooling between them, and a hidden classifier layer."""
    trunk = [*conv_unit(3, 4), *conv_unit(4, 4), *conv_unit(4, 4)]
    return nn.Sequential(*trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))


def small_resnet() -> nn.Module:
    """Three stages instead of four, as networks for small images have them."""
    stages = {f"layer{n}": nn.Sequential(*conv_unit(4, 4), *conv_unit(4, 4)) for n in (1, 2, 3)}
    layers = OrderedDict(conv1=nn.Conv2d(3, 4, 3), bn1=nn.BatchNorm2d(4), **stages, fc=nn.Linear(4, CLASSES))
    return nn.Sequential(layers)


class Wrapped(nn.Module):
    """A network that is a part of another."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.scale = nn.Identity()
        self.network = network


def convnext() -> nn.Module:
    setting = [
        torchvision.models.convnext.CNBlockConfig(8, 16, 2),
        torchvision.models.convnext.CNBlockConfig(16, None, 2),
    ]
    return torchvision.models.ConvNeXt(setting, num_classes=CLASSES)


def densenet() -> nn.Module:
    return torchvision.models.DenseNet(4, (2, 2, 2), 8, num_classes=CLASSES)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vgg11": lambda: torchvision.models.vgg11(num_classes=CLASSES, init_weights=False),
    "vgg11_bn": lambda: torchvision.models.vgg11_bn(num_classes=CLASSES, init_weights=False),
    "alexnet": lambda: torchvision.models.alexnet(num_classes=CLASSES),
    "densenet": densenet,
    "mobilenet_v2": lambda: torchvision.models.mobilenet_v2(num_classes=CLASSES),
    "mobilenet_v3": lambda: torchvision.models.mobilenet_v3_small(num_classes=CLASSES),
    "convnext": convnext,
    "efficientnet": lambda: torchvision.models.efficientnet_b0(num_classes=CLASSES),
    "shufflenet": lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=CLASSES),
    "regnet": lambda: timm.create_model("regnetx_002", num_classes=CLASSES),
    "googlenet": lambda: torchvision.models.googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False),
    "swin": lambda: torchvision.models.SwinTransformer([4, 4], 8, [2, 2], [2, 2], [4, 4], num_classes=CLASSES),
    "vit": vit,
    "torchvision vit": lambda: torchvision.models.VisionTransformer(32, 8, 3, 2, 16, 16, num_classes=CLASSES),
    "wrapped vit": lambda: Wrapped(vit()),
    "wrapped resnet": lambda: Wrapped(torchvision.models.resnet18(num_classes=CLASSES)),
    "small resnet": small_resnet,
    "plain": plain,
    "wrapped plain": lambda: nn.Sequential(nn.Identity(), plain()),
    "mlp": mlp,
}


@cache
def built(name: str) -> nn.Module:
    with torch.device("meta"):  # names and shapes are all that is looked at
        return NETWORKS[name]()


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    return built(request.param)


def names(model: nn.Module, modules: list[nn.Module]) -> set[str]:
    chosen = {id(parameter) for parameter in parameters_of(modules)}
    return {name for name, parameter in model.named_parameters() if id(parameter) in chosen}


def test_each_block_more_trains_more(network: nn.Module) -> None:
    found = Anatomy(network, {})
    ends = [names(network, last_blocks(found, k)) for k in range(len(found.blocks) + 1)]
    assert len(ends) > 2, "k=1 and k=2 are both possible"
    for fewer, more in itertools.pairwise(ends):
        assert fewer < more, "a block without parameters is a k that does nothing"
    for k, names_of in enumerate(ends):
        kernels = [name for name, p in network.named_parameters() if name in names_of and p.dim() > 1]
        assert len(kernels) > k, "a block of normalisation alone"


def test_no_tensor_is_in_two_parts(network: nn.Module) -> None:
    found = Anatomy(network, {})
    parameters = [id(p) for block in found.blocks for p in block.parameters()]
    parameters += [id(p) for p in parameters_of([*found.hidden, found.head])]
    assert len(parameters) == len(set(parameters))


def test_hidden_classifier_layers_belong_to_the_last_blocks(network: nn.Module) -> None:
    """What comes behind the blocks is trained with the head, whatever k is."""
    found = Anatomy(network, {})
    order = [name for name, _ in network.named_parameters()]
    behind = order[max(order.index(name) for name in names(network, list(found.blocks))) + 1 :]
    assert set(behind) <= names(network, last_blocks(found, 1))


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("vgg11", ("features.0.",), ("features.16.", "features.18.")),
        ("alexnet", ("features.0.",), ("features.6.", "features.8.", "features.10.")),
        ("densenet", ("features.denseblock1.",), ("features.transition2.", "features.denseblock3.", "features.norm5.")),
        ("mobilenet_v2", ("features.1.",), ("features.17.", "features.18.")),
        ("convnext", ("features.1.",), ("features.2.", "features.3.")),
        ("vit", ("blocks.0.",), ("blocks.2.",)),
        ("small resnet", ("layer1.",), ("layer3.",)),
        ("plain", ("0.", "1."), ("6.", "7.")),
    ],
)
def test_blocks_are_the_stages_of_the_network(name: str, first: tuple[str, ...], last: tuple[str, ...]) -> None:
    model = built(name)
    blocks = Anatomy(model, {}).blocks
    for block, prefixes in ((blocks[0], first), (blocks[-1], last)):
        held = names(model, [block])
        assert all(one.startswith(prefixes) for one in held), held
        assert all(any(one.startswith(prefix) for one in held) for prefix in prefixes), held


def test_the_classifier_of_vgg_is_hidden_layers_and_head() -> None:
    model = built("vgg11")
    found = Anatomy(model, {})
    assert found.head is model.classifier[6]
    assert names(model, list(found.hidden)) == {f"classifier.{n}.{p}" for n in (0, 3) for p in ("weight", "bias")}


class Unclear(nn.Module):
    """Single layers as attributes: their order says nothing about which belong together."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.bn1, self.bn2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, CLASSES)


@pytest.mark.parametrize("model", [Unclear(), nn.Sequential(nn.Flatten(), nn.Linear(4, 4)), nn.Linear(4, 4)])
def test_where_blocks_cannot_be_told_the_names_are_asked_for(model: nn.Module) -> None:
    with pytest.raises(NotApplicable, match="blocks") as error:
        _ = Anatomy(model, {}).blocks
    assert "parts=" in (error.value.remedy or "")


def test_where_there_is_no_linear_layer_the_head_is_asked_for() -> None:
    with pytest.raises(NotApplicable, match="head"):
        _ = Anatomy(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten()), {}).head


def test_named_parts_are_taken_and_what_lies_behind_them_is_hidden() -> None:
    model = Unclear()
    found = Anatomy(model, {"blocks": ["conv1", "conv2"], "head": "fc"})
    assert found.blocks == (model.conv1, model.conv2)
    assert names(model, list(found.hidden)) == {f"bn{n}.{p}" for n in (1, 2) for p in ("weight", "bias")}
    whole = Anatomy(plain(), {"blocks": ["3", "6"], "head": "13"})
    assert names(whole._model, list(whole.hidden)) == {"7.weight", "7.bias", "11.weight", "11.bias"}


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"blocks": ["0", "2"]}, "2"),  # a block without parameters is a k that does nothing
        ({"blocks": ["3", "3"]}, "3"),
        ({"blocks": []}, "blocks"),
        ({"blocks": ["nosuch"]}, "nosuch"),
        ({"head": "12"}, "12"),
        ({"stem": ["2"]}, "2"),
    ],
)
def test_names_that_cannot_serve_are_refused(named: dict[str, list[str]], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        found = Anatomy(plain(), named)
        _ = found.blocks, found.stem, found.head


def test_every_refusal_says_what_to_do() -> None:
    for named in ({"nosuch": "fc"}, {"blocks": ["nosuch"]}, {}):
        with pytest.raises(DeepUnlearnError) as error:
            _ = Anatomy(Unclear(), named).blocks
        assert error.value.given and error.value.allowed and error.value.remedy
