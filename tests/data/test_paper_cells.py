"""Each of the paper's nine cells runs one trial and one evaluation on 120 images in its dataset's own file format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepunlearn import sweep
from deepunlearn.config import read_command
from tests.data.small_data import noise, write_image, write_mnist

SIZES = {"n_retain": 92, "n_forget": 10, "n_val": 18}
SMALLER = {
    "cifar100": ["dataset.classes=10"],  # ten, so that 120 images leave no class out
    "utkface": ["dataset.image_size=64"],  # of 224: ten times as many pixels take six minutes
}
CELLS = [
    (dataset, arch) for dataset in ("mnist", "fashion_mnist", "cifar10", "cifar100") for arch in ("resnet18", "tinyvit")
]
CELLS.append(("utkface", "resnet18"))


def write_utkface(root: Path) -> None:
    """Faces named age_gender_race_date.jpg; 150 of them, so that 120 are left after a fifth is the test part."""
    for index in range(150):
        name = f"{(index * 7) % 100 + 1}_{index % 2}_{index % 4}_2017010{index % 10}{index:06d}.jpg.chip.jpg"
        write_image(root / name, noise(index, 64, 64, 3))


def write(dataset: str, root: Path, write_cifar: Callable[..., Any]) -> Path:
    if dataset == "utkface":
        write_utkface(root / "utkface")
        return root / "utkface"
    if dataset in ("mnist", "fashion_mnist"):
        write_mnist(root, {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[dataset], train=120, test=40)
    else:
        write_cifar(root, dataset, per_batch=24 if dataset == "cifar10" else 120, classes=10)
    return root


def test_the_paper_has_nine_cells() -> None:
    cells = read_command(["sweep=paper", "method=ft"]).sweep.cells
    assert len(cells) == 9 and {(cell.dataset.name, cell.arch.name) for cell in cells} == set(CELLS)


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "arch"), CELLS)
def test_a_cell(dataset: str, arch: str, tmp_path: Path, write_cifar: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = write(dataset, tmp_path / "images", write_cifar)
    code = sweep.main(
        [
            *SMALLER.get(dataset, []),
            f"dataset={dataset}",
            f"arch={arch}",
            "method=msg",
            f"dataset.root={root}",
            "search=quick",
            "search.trials=1",
            "search.max_epochs=1",
            "train.epochs=1",
            "train.batch_size=16",
            "train.lr=0.01",
            "seeds=1",
            "runtime.threads=1",
            "method.params.batch_size=16",
            "method.params.lr=0.001",
        ]
    )
    assert code == 0
    rows = {row["method"]: row for row in (json.loads(path.read_text()) for path in tmp_path.rglob("row.json"))}
    assert set(rows) == {"original", "retrained", "msg"}
    expected = {
        **SIZES,
        "n_test": {"mnist": 40, "fashion_mnist": 40, "cifar10": 24, "cifar100": 120, "utkface": 30}[dataset],
    }
    assert {name: rows["msg"][name] for name in expected} == expected
    assert rows["msg"]["moved"] > 0
    hopeless = any(rows["retrained"][name] == 0 for name in ("RA", "FA", "TA"))  # it may be, on noise
    assert (rows["msg"]["RetDev"] is None) == hopeless
