"""forget=where through the command line, on every source that knows more of its images than their class."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from deepunlearn.config import read_command
from deepunlearn.core.progress import Progress
from deepunlearn.data.decoded import load
from tests.commands import called
from tests.data.celeba_files import write_celeba
from tests.data.small_data import noise, write_classes, write_image
from tests.data.torchvision_sets import cifar

SMALL = ("arch=smallnet", "method=ft", "search=none", "seeds=1", "train.epochs=1", "runtime.threads=1", "measures=[]")


class Case(NamedTuple):
    """What is written; the command; which images the rule means; what tables call it."""

    write: Callable[[Path, pytest.MonkeyPatch], None]
    arguments: tuple[str, ...]
    meant: Callable[[Any], Any]  # of the columns of a part
    title: str
    same_values: bool  # whether the attack's unseen samples have them too


def faces(root: Path, _: pytest.MonkeyPatch) -> None:
    for number in range(240):
        name = f"{5 + number % 90}_{number % 2}_{number % 5}_2017{number:013d}.jpg.chip.jpg"
        write_image(root / name, noise(number, 16, 16, 3))


def many_classes(root: Path, patch: pytest.MonkeyPatch) -> None:
    cifar("CIFAR100", 100, times=5)(root, patch)


def persons(root: Path, _: pytest.MonkeyPatch) -> None:
    write_celeba(root, persons=40, pictures=8, height=32)


def described(root: Path, _: pytest.MonkeyPatch) -> None:
    write_classes(root, {"cat": 120, "dog": 120})
    paths = [f"{name}/{number:04d}.png" for name in ("cat", "dog") for number in range(120)]
    lines = [f"{path},{('anna', 'ben', 'cleo')[at % 3]},{at % 50}" for at, path in enumerate(paths)]
    (root / "attributes.csv").write_text("\n".join(["file,owner,age", *lines]))


CASES = {
    "UTKFace's names": Case(
        faces,
        ("dataset=utkface", "dataset.image_size=32", "forget.where={gender: female, age: {from: 30, to: 60}}"),
        lambda columns: (columns["gender"] == "female") & (columns["age"] >= 30) & (columns["age"] <= 60),
        "age 30 to 60 and gender female",
        False,
    ),
    "CIFAR-100's superclass": Case(
        many_classes,
        ("dataset=cifar100", "forget.where={coarse: kind 7}", "dataset.duplicates=warn"),
        lambda columns: columns["coarse"] == "kind 7",
        "coarse kind 7",
        True,
    ),
    "CelebA's persons": Case(
        persons,
        ("dataset=celeba", "dataset.image_size=32", "forget.where={identity: [1, 2, 13]}"),
        lambda columns: np.isin(columns["identity"], [1, 2, 13]),
        "3 persons",
        False,
    ),
    "attributes.csv": Case(
        described,
        ("dataset=folder", "dataset.image_size=16", "forget.where={owner: anna, age: {to: 30}}"),
        lambda columns: (columns["owner"] == "anna") & (columns["age"] <= 30),
        "age to 30 and owner anna",
        False,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_what_the_rule_means_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    files = tmp_path / "files"
    files.mkdir()
    CASES[case].write(files, monkeypatch)
    arguments = (*CASES[case].arguments, f"dataset.root={files}", "forget=where", *SMALL)
    finished = called(tmp_path, *arguments)
    assert finished.returncode == 0, finished.stderr
    rows = [json.loads(path.read_text()) for path in (tmp_path / "results/store").rglob("row.json")]
    assert {row["method"] for row in rows} == {"original", "retrained", "ft"}
    assert {(row["forget_kind"], row["forget_title"]) for row in rows} == {("where", CASES[case].title)}

    (cell,) = read_command(arguments).sweep.cells
    data = load(cell.dataset, tmp_path / "results/cache", Progress(quiet=True))
    (split,) = (np.load(path) for path in (tmp_path / "results/store").rglob("split.npz"))
    meant = CASES[case].meant(data.attributes.train)
    assert meant[split["forget"]].all() and len(split["forget"]) >= 10
    assert not meant[split["retain"]].any(), "all of them, not only some"
    unseen = CASES[case].meant(data.attributes.test)[split["unseen_test"]]
    assert len(unseen) and (unseen.all() if CASES[case].same_values else True)
