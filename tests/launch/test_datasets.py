"""What a plan says of the data: how many images where, what is not read, what was done to images, copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepunlearn.config import read_command
from deepunlearn.core.progress import Progress
from deepunlearn.launch.datasets import dataset_lines
from deepunlearn.launch.plan import Planner
from tests.commands import sweep
from tests.data.small_data import noise, write_classes, write_image

COUNTS = {"train/cat": 90, "train/dog": 70, "train/eel": 60, "test/cat": 12, "test/dog": 8, "test/eel": 8}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_classes(tmp_path / "images", COUNTS, size=8)
    return tmp_path / "images"


def lines(folder: Path, *arguments: str) -> list[str]:
    given = ["dataset=folder", f"dataset.root={folder}", "arch=smallnet", "method=ft", f"results={folder.parent / 'r'}"]
    planner = Planner(read_command([*given, *arguments]).sweep, Progress(quiet=True))
    return [line.strip() for line in dataset_lines(planner)]


def test_images_are_counted_per_part_and_class(folder: Path) -> None:
    assert lines(folder) == [
        "folder: 220 training and 28 test images, 3 classes; "
        "per class 60 (eel) to 90 (cat) in training, 8 (dog) to 12 (cat) in test",
        "of these: retain 168, forget 19, val 33, test 28",
    ]


def test_whom_the_attack_compares_is_said_and_what_it_cannot(folder: Path) -> None:
    """Of 33 validation samples too few are eels, as of 28 test samples: 8."""
    told = lines(folder, "forget=classes", "forget.classes=[eel]")
    matched = next(line for line in told if line.startswith("the attack compares the forgotten samples with "))
    assert "8 of 28 test samples" in matched and " of 33 validation samples" in matched
    few = [line for line in told if line.startswith("warning: attack n/a: ")]
    assert few[0] == (
        "warning: attack n/a: 8 samples of the test part match the forgotten ones, and it needs 10; scores have none"
    )
    assert not any("attack" in line for line in lines(folder)), "at random all are alike"


def test_equal_classes_take_one_number(folder: Path) -> None:
    for name, count in (("cat", 4), ("dog", 0)):
        for index in range(count):
            (folder / f"test/{name}" / f"{index:04d}.png").unlink()
    assert "8 in test" in lines(folder)[0]


def test_what_is_not_read_is_named_and_counted(folder: Path) -> None:
    for name in ("a.heic", "b.heic", "notes.txt"):
        (folder / "train/cat" / name).write_bytes(b"")
    assert "not read: 2 .heic, 1 .txt (train/cat/a.heic, train/cat/b.heic, train/cat/notes.txt)" in lines(folder)


def test_what_was_done_to_images_is_said_of_cached_ones_too(folder: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(noise(1, 8, 8, 3)).save(folder / "train/cat/turned.png", exif=tags)
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(folder / "train/cat/through.png")
    frames = [Image.fromarray(noise(number, 8, 8, 3)) for number in range(2)]
    frames[0].save(folder / "train/dog/moving.gif", save_all=True, append_images=frames[1:])
    for _ in range(2):
        found = lines(folder)
        assert (
            "images turned upright, as their EXIF orientation says: 1 (train/cat/turned.png)" in found
            and "images with transparent pixels, put on black (dataset.background): 1 (train/cat/through.png)" in found
            and "warning: images with several frames, of which the first is read: 1 (train/dog/moving.gif)" in found
        ), found


def test_copies_are_warned_of_with_examples_and_with_what_they_do(folder: Path) -> None:
    for index in range(60):
        shutil.copy(folder / "train/cat" / f"{index:04d}.png", folder / "train/cat" / f"copy{index}.png")
    for index in range(5):
        shutil.copy(folder / "train/dog" / f"{index:04d}.png", folder / "test/eel" / f"copy{index}.png")
    found = lines(folder)
    pairs = ", ".join(f"train/dog/{index:04d}.png = test/eel/copy{index}.png" for index in range(3))
    assert f"warning: training images that are in the test part too: 5 ({pairs}, ...)" in found
    assert any("equal to an earlier one: 60 (train/cat/copy0.png = train/cat/0000.png" in line for line in found)
    assert any("label is not that of the first image equal to them: 5 (" in line for line in found)
    (forget,) = [line for line in found if line.startswith("warning: forget samples with a copy")]
    assert any(line.startswith("warning: validation samples") for line in found)
    (tests,) = [line for line in found if line.startswith("warning: test samples")]
    assert tests.endswith(" of 33") and int(forget.split()[-3]) > 0
    dropped = lines(folder, "dataset.duplicates=drop")
    assert "training images that take no part (dataset.duplicates=drop): 65" in dropped
    assert [line for line in dropped if line.startswith("warning")] == [line for line in found if "whose label" in line]


def test_a_class_that_the_test_part_lacks_is_named(folder: Path, tmp_path: Path) -> None:
    write_classes(tmp_path / "other", {"a": 200, "b": 100, "c": 1}, size=8)
    (line,) = [line for line in lines(tmp_path / "other") if line.startswith("warning")]
    assert line == "warning: no test image of c"


@pytest.mark.slow
def test_the_plan_shows_it_and_copies_can_be_refused_there(folder: Path, tmp_path: Path) -> None:
    arguments = ["dataset=folder", f"dataset.root={folder}", "arch=smallnet", "method=ft", "plan=true", "seeds=1"]
    write_image(folder / "test/cat/more.png", np.array(Image.open(folder / "train/cat/0000.png")))
    shown = sweep(tmp_path, *arguments)
    assert shown.returncode == 0, shown.stderr
    assert (
        "220 training and 29 test images" in shown.stdout and "train/cat/0000.png = test/cat/more.png" in shown.stdout
    )
    refused = sweep(tmp_path, *arguments, "dataset.duplicates=error")
    assert refused.returncode == 2 and "dataset.duplicates=drop" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_rows_of_tables_are_called_rows(tmp_path: Path) -> None:
    lines_of = [f"{row % 7}.5,{'red' if row else 'blue'},{'ab'[row % 2]}" for row in range(280)]
    lines_of[5] = ",red,a"
    (tmp_path / "t.csv").write_text("\n".join(["length,colour,kind", *lines_of, ""]))
    given = ["dataset=table", f"dataset.root={tmp_path / 't.csv'}", "dataset.target=kind", "arch=mlp", "method=ft"]
    options = ["dataset.missing=drop", "dataset.ignore=[colour]", f"results={tmp_path / 'r'}"]
    planner = Planner(read_command([*given, *options]).sweep, Progress(quiet=True))
    said = [line.strip() for line in dataset_lines(planner)]
    assert any("223 training and 56 test rows, 2 classes" in line for line in said), said
    assert "rows that are left out, as values are missing (dataset.missing=drop): 1 (row 6)" in said
    assert any(line.startswith("warning: training rows that are equal to an earlier one: ") for line in said)
