"""What of an architecture is part of the identity of results: its code, its version, its arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.cells import CellKeys
from deepunlearn.config import read_command

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
    ours, other = hashes("arch=resnet18"), hashes("arch=resnet18", "arch.module=my_net")
    assert ours[0] != other[0] and ours[1] != other[1]


def test_so_is_a_module_of_ours_under_the_name_of_another() -> None:
    ours, other = hashes("arch=resnet18"), hashes("arch=resnet18", "arch.module=deepunlearn.archs.small")
    assert ours[0] != other[0] and ours[1] != other[1]


def test_editing_its_file_makes_another_network(my_net: Path) -> None:
    before = hashes("arch=resnet18", "arch.module=my_net")
    assert hashes("arch=resnet18", "arch.module=my_net") == before
    my_net.write_text(NETWORK + "# edited\n")
    assert not set(hashes("arch=resnet18", "arch.module=my_net")) & set(before)


def test_so_does_a_new_version() -> None:
    assert not set(hashes("arch=resnet18", "arch.version=2")) & set(hashes("arch=resnet18"))
