"""Building networks: what initial weights depend on, which parts methods address, errors of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
import yaml
from torch import Tensor, nn
from torchvision.models import resnet18

from deepunlearn import archs
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import ArchConfig
from deepunlearn.core.validation import validate

FILES = sorted((Path(__file__).parents[2] / "conf" / "arch").glob("*.yaml"))


MODELS = {"timm": "resnet10t", "torchvision": "resnet18"}  # one of many


def load(path: Path) -> ArchConfig:
    values = yaml.safe_load(path.read_text())
    return validate(ArchConfig, {**values, "model": MODELS.get(path.stem)}, "arch")


ARCHS = [load(path) for path in FILES]
every_arch = pytest.mark.parametrize("arch", ARCHS, ids=lambda arch: arch.name)


def same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(torch.equal(first[key], second[key]) for key in first)


def named(name: str) -> ArchConfig:
    return next(arch for arch in ARCHS if arch.name == name)


def test_the_files_are_named_after_what_they_hold() -> None:
    assert [arch.name for arch in ARCHS] == [path.stem for path in FILES]
    assert {"resnet18", "tinyvit", "smallnet"} <= {arch.name for arch in ARCHS}


@every_arch
def test_weights_depend_on_classes_and_seed_only(arch: ArchConfig) -> None:
    model = archs.build(arch, 10, 32, seed=3)
    if arch.name != "mlp":  # its first layer has the size of the images
        assert same(model, archs.build(arch, 10, 64, seed=3))
    assert not same(model, archs.build(arch, 10, 32, seed=4))


@every_arch
def test_a_seed_leaves_the_callers_random_state_alone(arch: ArchConfig) -> None:
    torch.manual_seed(0)
    expected = torch.rand(4)
    torch.manual_seed(0)
    archs.build(arch, 10, 32, seed=1)
    assert torch.equal(torch.rand(4), expected)


@every_arch
def test_without_a_seed_the_global_generator_decides(arch: ArchConfig) -> None:
    torch.manual_seed(5)
    model = archs.build(arch, 10, 32)
    assert same(model, archs.build(arch, 10, 32, seed=5))
    assert not same(model, archs.build(arch, 10, 32))


@every_arch
def test_its_yaml_says_whether_training_draws_random_numbers(arch: ArchConfig) -> None:
    """Only then do stored models of it hang on how torch's global state is seeded."""
    model, before = archs.build(arch, 10, 32, seed=0).train(), torch.get_rng_state()
    model(torch.zeros(2, 3, 32, 32))
    drew = not torch.equal(before, torch.get_rng_state())
    torch.set_rng_state(before)
    assert arch.stochastic == arch.draws and (drew == arch.stochastic or arch.model)  # of many networks some draw


def test_a_module_that_is_not_ours_counts_as_random() -> None:
    assert named("resnet18").model_copy(update={"module": "my.net", "code": "ab"}).draws


@every_arch
def test_logits_and_parts(arch: ArchConfig) -> None:
    model = archs.build(arch, 7, 32, seed=0)
    parts = archs.anatomy_of(arch, model)
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    assert isinstance(parts.head, nn.Linear) and parts.head.out_features == 7
    assert parts.head is [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert arch.blocks in (None, len(parts.blocks))
    assert list(parts.stem) == convolutions[: len(parts.stem)]
    parameters = [id(p) for part in (*parts.blocks, *parts.hidden, parts.head) for p in part.parameters()]
    assert len(parameters) == len(set(parameters)), "parts overlap"
    assert set(parameters) <= {id(p) for p in model.parameters()}


def test_parts_of_the_papers_networks() -> None:
    model = archs.build(named("resnet18"), 10, 32, seed=0)
    parts = archs.anatomy_of(named("resnet18"), model)
    assert parts.blocks == (model.layer1, model.layer2, model.layer3, model.layer4)
    assert parts.stem == (model.conv1,)
    model = archs.build(named("tinyvit"), 10, 32, seed=0)
    parts = archs.anatomy_of(named("tinyvit"), model)
    assert parts.blocks == tuple(model.stages[1:]) and parts.hidden == ()
    assert [conv.stride for conv in parts.stem] == [(2, 2), (2, 2)]


def test_published_networks_keep_their_weights_and_keys() -> None:
    torch.manual_seed(2)
    assert same(archs.build(named("resnet18"), 10, 32, seed=2), resnet18(num_classes=10))
    torch.manual_seed(2)
    plain = timm.create_model("tiny_vit_11m_224", pretrained=False, num_classes=10)
    assert same(archs.build(named("tinyvit"), 10, 32, seed=2), plain)


def test_sizes() -> None:
    def count(name: str) -> int:
        return sum(p.numel() for p in archs.build(named(name), 10, 32, seed=0).parameters())

    assert count("resnet18") == 11_181_642
    assert round(count("tinyvit") / 1e6, 2) == 10.55
    assert count("smallnet") < 20_000


def test_the_small_net_learns() -> None:
    model = archs.build(named("smallnet"), 2, 32, seed=0)
    labels = torch.arange(32) % 2
    images = torch.rand(32, 3, 32, 32, generator=torch.Generator().manual_seed(0)) + labels[:, None, None, None]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(10):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    prediction: Tensor = model(images).argmax(1)
    assert torch.equal(prediction, labels)


def arch_of(module: str) -> ArchConfig:
    return ArchConfig(name="mine", title="Mine", module=module)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path


def test_a_file_and_its_name_are_the_registration(folder: Path) -> None:
    (folder / "arch_of_a_user.py").write_text(
        "from torch import nn\n"
        "def build(classes, image_size):\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, image_size), nn.Flatten(), nn.Linear(4, classes))\n"
        "PARTS = {'stem': '0', 'blocks': '0', 'head': '2'}\n"
    )
    arch = arch_of("arch_of_a_user")
    model = archs.build(arch, 5, 8, seed=0)
    assert model(torch.rand(2, 3, 8, 8)).shape == (2, 5)
    assert archs.anatomy_of(arch, model).head is model[2]


@pytest.mark.parametrize("module", ["deepunlearn.archs.resnet81", "no_such_package.net"])
def test_a_module_that_does_not_exist(module: str) -> None:
    with pytest.raises(ConfigError, match=module) as caught:
        archs.build(arch_of(module), 10, 32)
    assert caught.value.remedy


def test_a_module_without_its_function(folder: Path) -> None:
    (folder / "arch_half_done.py").write_text("def make(classes, image_size): ...\n")
    with pytest.raises(ConfigError, match="lacks build"):
        archs.build(arch_of("arch_half_done"), 10, 32)


def test_a_missing_import_inside_a_module_is_blamed_on_the_module(folder: Path) -> None:
    (folder / "arch_with_a_need.py").write_text("import no_such_dependency\n")
    with pytest.raises(ConfigError, match=r"No module named 'no_such_dependency' .*arch_with_a_need.py, line 1"):
        archs.build(arch_of("arch_with_a_need"), 10, 32)
