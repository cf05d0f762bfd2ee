"""Networks of torchvision and timm by name, perceptrons, weights from files: what is found and refused beforehand."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from deepunlearn import archs
from deepunlearn.archs.inspection import Inspected, inspected
from deepunlearn.archs.shares import REMEDY
from deepunlearn.core.arch_config import ArchConfig
from deepunlearn.core.errors import ConfigError
from deepunlearn.plugin_code import digest


def arch(module: str, model: str | None = None, **more: Any) -> ArchConfig:
    return ArchConfig(name=model or module, title="", module=f"deepunlearn.archs.{module}", model=model, **more)


def torchvision(model: str, **more: Any) -> ArchConfig:
    return arch("torchvision_models", model, **more)


def timm(model: str, **more: Any) -> ArchConfig:
    return arch("timm_models", model, **more)


MLP = arch("mlp", args={"width": 16, "depth": 2})


@pytest.mark.parametrize(
    ("network", "size", "blocks"),
    [
        (torchvision("resnet50"), 32, 4),
        (torchvision("alexnet"), 64, 3),
        (torchvision("vgg16_bn"), 32, 5),
        (torchvision("convnext_tiny"), 32, 4),
        (timm("vit_tiny_patch16_224"), 32, 12),
        (timm("convnext_atto"), 32, 4),
        (MLP, 8, 2),
    ],
    ids=lambda value: value.name if isinstance(value, ArchConfig) else None,
)
def test_it_takes_the_images_and_its_blocks_are_counted(network: ArchConfig, size: int, blocks: int) -> None:
    assert inspected(network, 7, size).blocks == blocks


def test_memory_grows_with_the_batch_and_with_the_network() -> None:
    small, large = inspected(MLP, 7, 8), inspected(arch("mlp", args={"width": 64, "depth": 2}), 7, 8)
    assert small.parameters == 3 * 64 * 16 + 16 + 16 * 16 + 16 + 16 * 7 + 7
    assert small.bytes_at(2) - small.bytes_at(1) == small.image_bytes >= 4 * (3 * 64 + 2 * 16)
    assert small.image_bytes < small.weight_bytes and large.bytes_at(1) > small.bytes_at(1)


@pytest.mark.parametrize(
    "end", ["out.softmax(1)", "out if self.training else out[:, :, None].softmax(1).squeeze(2)", "out.log_softmax(1)"]
)
def test_a_network_that_ends_in_softmax_is_refused(end: str, tmp_path: Path) -> None:
    file = tmp_path / "ends.py"
    file.write_text(
        "from torch import nn\n"
        "class Ends(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        out = super().forward(x)\n"
        f"        return {end}\n"
        "def build(classes, image_size):\n"
        "    return Ends(nn.Flatten(), nn.Linear(3 * image_size**2, 4), nn.Linear(4, classes))\n"
    )
    network = ArchConfig(name="ends", title="", module=str(file), code=digest([str(file)]))
    if "log" in end:
        assert inspected(network, 7, 8).parameters
        return
    with pytest.raises(ConfigError, match="ends gives probabilities") as error:
        inspected(network, 7, 8)
    assert error.value.remedy == REMEDY


def test_a_network_that_looks_at_its_numbers_is_tried_on_the_cpu(tmp_path: Path) -> None:
    file = tmp_path / "looks.py"
    file.write_text(
        "from torch import nn\n"
        "class Looks(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x / max(1.0, float(x.max())))\n"
        "def build(classes, image_size):\n"
        "    return Looks(nn.Flatten(), nn.Linear(3 * image_size**2, 4), nn.Linear(4, classes))\n"
    )
    assert inspected(ArchConfig(name="looks", title="", module=str(file), code=digest([str(file)])), 7, 8).parameters


def test_so_are_the_sizes_that_it_takes(tmp_path: Path) -> None:
    file = tmp_path / "picky.py"
    file.write_text("""
import torch
from torch import nn


class Picky(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.head = nn.Linear(3, classes)

    def forward(self, x):
        if x.shape[-1] != 96 or float(x.sum()) < 0:
            raise ValueError("96 pixels, please")
        return self.head(x.mean((2, 3)))


def build(classes, image_size):
    return Picky(classes)
""")
    picky = ArchConfig(name="picky", title="", module=str(file), code=digest([str(file)]))
    with pytest.raises(ConfigError) as told:
        inspected(picky, 7, 32)
    assert told.value.allowed == "96" and "dataset.image_size=96" in str(told.value.remedy)


def test_looking_at_a_network_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    inspected(torchvision("alexnet"), 7, 64)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("network", "told", "remedy"),
    [
        (torchvision("resnt50"), "has no model 'resnt50'", "did you mean resnet50"),
        (timm("vit_tiny_patch16_24"), "has no model", "vit_tiny_patch16_224"),
        (timm("vit_tiny_patch16_224.augreg_in21k"), "has no model", "vit_tiny_patch16_224"),
        (torchvision("alexnet"), "takes no images of 32x32", "dataset.image_size=64"),
        (timm("mixer_s16_224"), "takes no images of 15x15", "dataset.image_size=32"),
        (timm("resnet10t", args={"pretrained": True}), "without weights from the net", "arch.weights=FILE"),
        (torchvision("resnet18", args={"weights": "DEFAULT"}), "without weights from the net", "arch.weights=FILE"),
        (timm("resnet10t", args={"num_classes": 3}), "decided by the data", "leave it out"),
        (timm("resnet10t", args={"nosuch": 3}), "cannot be built", "arch.args."),
        (arch("resnet", args={"nosuch": 3}), "cannot be built", "arch.args."),
    ],
    ids=lambda value: value.name if isinstance(value, ArchConfig) else None,
)
def test_what_cannot_serve_is_refused(network: ArchConfig, told: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as error:
        inspected(network, 7, 15 if "15x15" in told else 32)
    assert told in error.value.problem and remedy in (error.value.remedy or "")
    assert error.value.given and error.value.allowed


# ------------------------------------------------------------------------------------------------------------- weights


def start_from(path: Path, classes: int = 7, seed: int = 0) -> tuple[nn.Module, Inspected]:
    network = MLP.model_copy(update={"weights": str(path)})
    return archs.start(network, classes, 8, seed), inspected(network, classes, 8)


def trained(classes: int = 7) -> nn.Module:
    return archs.build(MLP, classes, 8, seed=9)


def saved(path: Path, model: nn.Module) -> Path:
    """As training scripts save: of a parallel network, inside a dictionary."""
    if path.suffix == ".safetensors":
        save_file(model.state_dict(), path)
    else:
        torch.save({"epoch": 3, "state_dict": nn.DataParallel(model).state_dict()}, path)
    return path


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt"])
def test_training_starts_from_the_weights_of_a_file(tmp_path: Path, name: str) -> None:
    model, found = start_from(saved(tmp_path / name, trained()))
    assert found.head_left == ()
    assert all(torch.equal(value, trained().state_dict()[key]) for key, value in model.state_dict().items())


def test_a_head_of_another_class_count_is_initialised_by_the_seed(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.safetensors", trained(classes=100))
    (one, found), (other, _) = (start_from(path, seed=seed) for seed in (0, 1))
    assert found.head_left == ("5.weight", "5.bias")
    assert torch.equal(one.get_parameter("3.weight"), other.get_parameter("3.weight"))
    assert torch.equal(one.get_parameter("5.weight"), archs.build(MLP, 7, 8, seed=0).get_parameter("5.weight"))
    assert not torch.equal(one.get_parameter("5.weight"), other.get_parameter("5.weight"))


def test_a_fresh_network_of_a_method_is_not_filled(tmp_path: Path) -> None:
    """What KDE or BT ask for are new weights."""
    network = MLP.model_copy(update={"weights": str(saved(tmp_path / "net.pt", trained()))})
    assert not torch.equal(archs.build(network, 7, 8).get_parameter("1.weight"), trained().get_parameter("1.weight"))


def test_other_mismatches_are_told_with_the_names_of_tensors(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", archs.build(arch("mlp", args={"width": 17, "depth": 3}), 7, 8))
    with pytest.raises(ConfigError, match="not those of this network") as error:
        start_from(path)
    assert "1.weight: [17, 192] instead of [16, 192]" in str(error.value.given)
    assert "2 not in the network (7.bias, 7.weight)" in str(error.value.given)


@pytest.mark.parametrize("content", [b"no file of tensors", pickle.dumps({"weight": print})])
@pytest.mark.parametrize("name", ["net.safetensors", "net.pt"])
def test_what_is_no_state_dict_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read") as error:
        start_from(tmp_path / name)
    assert error.value.given and "state_dict" in (error.value.remedy or "")


def test_objects_beside_tensors_are_not_loaded(tmp_path: Path) -> None:
    torch.save(trained(), tmp_path / "net.pt")
    with pytest.raises(ConfigError, match="cannot be read"):
        start_from(tmp_path / "net.pt")


def test_a_file_that_changed_since_the_plan_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", trained())
    network = MLP.model_copy(update={"weights": str(path), "weights_digest": "0" * 16})
    with pytest.raises(ConfigError, match="changed after the command began"):
        archs.start(network, 7, 8, 0)
