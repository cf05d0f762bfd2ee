"""What of an architecture is part of the identity of results: its code, its version, its arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.cells import CellKeys
from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError

SIZES = {"retain": 100, "forget": 10, "val": 20}
NETWORK = "from torch import nn\n\ndef build(classes, image_size):\n    return nn.Linear(1, classes)\n"


def keys(*arguments: str) -> CellKeys:
    sweep = read_command([*arguments, "method=ft", "search=none"]).sweep
    return CellKeys(sweep.cells[0], "ab" * 32, 10, lambda _: SIZES)


def hashes(*arguments: str) -> tuple[str, str]:
    """Of an original and of its cell."""
    made = keys(*arguments)
    return made.reference("original", 0).hash, made.cell_key.hash


@pytest.fixture
def my_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the module my_net."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_net.py").write_text(NETWORK)
    return tmp_path / "my_net.py"


def test_a_module_of_ones_own_is_another_network(my_net: Path) -> None:
    built_in, other = hashes("arch=resnet18"), hashes("arch=resnet18", "arch.module=my_net")
    assert built_in[0] != other[0] and built_in[1] != other[1]


def test_so_is_a_module_of_ours_under_the_name_of_another() -> None:
    built_in, other = hashes("arch=resnet18"), hashes("arch=resnet18", "arch.module=deepunlearn.archs.small")
    assert built_in[0] != other[0] and built_in[1] != other[1]


def test_editing_its_file_makes_another_network(my_net: Path) -> None:
    before = hashes("arch=resnet18", "arch.module=my_net")
    assert hashes("arch=resnet18", "arch.module=my_net") == before
    my_net.write_text(NETWORK + "# edited\n")
    assert not set(hashes("arch=resnet18", "arch.module=my_net")) & set(before)


def test_so_does_a_new_version() -> None:
    assert not set(hashes("arch=resnet18", "arch.version=2")) & set(hashes("arch=resnet18"))


def test_a_network_of_many_has_a_name_and_a_title_of_its_own() -> None:
    arch = keys("arch=timm", "arch.model=vit_tiny_patch16_224", "arch.args.drop_rate=0.1").cell.arch
    assert arch.name == "timm-vit_tiny_patch16_224-drop_rate0.1"
    assert arch.title == "vit_tiny_patch16_224 (timm) (drop_rate=0.1)"
    assert keys("arch=mlp", "arch.args.width=64").cell.arch.title == "MLP 2 x 64"
    assert keys("arch=resnet18").cell.arch.name == "resnet18"


def test_arguments_are_part_of_the_identity_and_typed() -> None:
    one, same, other = (hashes("arch=mlp", f"arch.args.width={width}") for width in ("64", "64.0", "65"))
    assert one == same and not set(one) & set(other)


def test_so_are_named_parts() -> None:
    assert not set(hashes("arch=mlp", "arch.parts.head=5")) & set(hashes("arch=mlp"))


@pytest.mark.slow
def test_of_weights_the_content_counts_and_not_the_name(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.pt", "b.pt", "c.pt")]
    for file, content in zip(files, (b"1", b"1", b"2"), strict=True):
        file.write_bytes(content)
    one, same, other = (hashes("arch=resnet18", f"arch.weights={file}") for file in files)
    assert one == same and not set(one) & set(other) and not set(one) & set(hashes("arch=resnet18"))
    assert keys("arch=resnet18", f"arch.weights={files[0]}").cell.arch.title.endswith("(from a.pt)")


@pytest.mark.parametrize(
    ("arguments", "told", "remedy"),
    [
        (("arch=timm",), "none is named", "arch.model="),
        (("arch=resnet18", "arch.model=resnet50"), "of arch=timm|torchvision, not of arch=resnet18", "add arch=timm"),
        (("arch=resnet18", "arch.weights=nosuch.pt"), "no such file of weights", "nothing is fetched"),
        (("arch=resnet18", "arch.module=nosuch_net"), "cannot be found", "correct"),
    ],
)
def test_what_cannot_be_is_told_with_a_remedy(arguments: tuple[str, ...], told: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as error:
        keys(*arguments)
    assert told in error.value.problem and remedy in (error.value.remedy or "")
