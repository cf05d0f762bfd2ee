"""Plug-ins as a user writes them, for tests."""

from __future__ import annotations

from pathlib import Path

from deepunlearn.registry import Folders

ARCH = (
    "from torch import nn\n"
    "def build(classes, image_size):\n"
    "    features = (nn.Conv2d(3, 4, 3), {dropout}nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    "    return nn.Sequential(*features, nn.Linear(4, classes))\n"
    "PARTS = {'blocks': '0'}\n"
)


def put(root: Path, kind: str, name: str, code: str | None = "", yaml: str | None = None) -> Folders:
    """NAME.py and NAME.yaml in DIR/KIND/; either may be left out, the YAML by the word none."""
    folder = root / kind
    folder.mkdir(parents=True, exist_ok=True)
    if code is not None:
        (folder / f"{name}.py").write_text(code)
    if yaml != "none":
        (folder / f"{name}.yaml").write_text(yaml or f"name: {name}\n")
    return Folders(plugins=str(root))


def put_mine(root: Path, kind: str, code: str, yaml: str) -> Folders:
    """A plug-in of the name mine, whose YAML has these lines beside its name."""
    return put(root, kind, "mine", code, f"# mine\nname: mine\n{yaml}")
