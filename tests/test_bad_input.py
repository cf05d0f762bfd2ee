"""Wrong input: exit code 2, the value and the remedy named, no traceback, quick, and nothing stored is touched."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import pytest

from tests.commands import SMALL, Finished, called, run_command, tree
from tests.data.small_data import write_classes

CASES = {  # arguments, what the message must name
    "unknown method": (["method=mgs"], ["mgs", "msg", "ft", "ct"]),
    "unknown dataset": (["dataset=cifar11"], ["cifar11", "cifar10", "digits", "utkface"]),
    "unknown architecture": (["arch=resnet50"], ["resnet50", "resnet18", "tinyvit"]),
    "unknown option": (["train.epoch=3"], ["train.epoch", "train.epochs"]),
    "unknown top-level option": (["trainepochs=3"], ["trainepochs", "seeds", "results"]),
    "unknown hyper-parameter": (["method=ft", "method.params.init_rate=0.3"], ["init_rate", "method.params.lr"]),
    "a misspelt option of the launcher chosen": (
        ["launcher=slurm", "launcher.particion=gpu"],
        ["launcher.particion", "did you mean 'launcher.partition'?"],
    ),
    "a misspelt launcher": (["launcher=slrum"], ["slurm"]),
    "jobs of no length": (["launcher=slurm", "launcher.minutes=0"], ["launcher.minutes"]),
    "no workers": (["launcher.workers=0"], ["launcher.workers"]),
    "an option of another launcher": (["launcher.partition=gpu"], ["launcher.partition"]),
    "a variable that is not set": (
        ["dataset.root=${oc.env:NO_SUCH_VARIABLE}/x"],
        ["dataset.root", "NO_SUCH_VARIABLE", "export NO_SUCH_VARIABLE="],
    ),
    "a grid of seeds": (["-m", "seeds=0,1"], ["only dataset, arch, method and forget", "seeds=[0,1]"]),
    "a job that could only requeue itself": (
        ["launcher=slurm", "launcher.minutes=2", "launcher.signal_seconds=120"],
        ["launcher.minutes=2", "launcher.signal_seconds=120"],
    ),
    "unknown sweep": (["sweep=papr"], ["papr", "demo"]),
    "an added option": (["+sweeps=paper"], ["+sweeps=paper"]),
    "forget ratio": (["forget.ratio=1.5"], ["forget.ratio", "1.5", "less than 1"]),
    "negative rate": (["method.params.lr=-0.1"], ["method.params.lr", "-0.1", "> 0"]),
    "negative training rate": (["train.lr=-0.1"], ["train.lr", "-0.1", "greater than 0"]),
    "no epochs": (["train.epochs=0"], ["train.epochs", "0"]),
    "no method epochs": (["method.params.epochs=0"], ["method.params.epochs", ">= 1"]),
    "a fraction of an epoch": (["method.params.epochs=1.5"], ["method.params.epochs", "1.5", "a whole number"]),
    "not a number": (["train.lr=.nan"], ["train.lr", "nan"]),
    "an empty forget set": (["forget.ratio=0.0001"], ["forget", "0.0001"]),
    "a limit above the data": (["dataset.limit=100000"], ["dataset.limit", "100000"]),
    "a limit below the classes": (["dataset.limit=5"], ["dataset.limit", "5"]),
    "no seeds": (["seeds=0"], ["seeds", "0"]),
    "a seed twice": (["seeds=[1,1]"], ["seeds", "[1, 1]"]),
    "pruning four losses": (["search.prune=true"], ["search.prune", "search.objective=sum"]),
    "an unusable storage": (["search.storage=nosuch://x"], ["search.storage", "nosuch://x", "postgresql+psycopg://"]),
    "a missing dataset": (["dataset=mnist"], ["datasets", "train-images-idx3-ubyte", "dataset.download=true"]),
    "a missing folder": (
        ["dataset=cifar10", "dataset.source=folder", "dataset.root=nowhere"],
        ["nowhere", "dataset.root"],
    ),
    "a folder without a root": (["dataset=folder"], ["dataset.root"]),
    "more blocks than there are": (["method=cfk", "method.params.k=9"], ["k=9", "1 to ", "lower k"]),
    "a single image per step": (["train.batch_size=1"], ["train.batch_size", "1", "2"]),
    "statistics that cannot normalise": (["dataset.mean=[0.5]", "dataset.std=[0]"], ["dataset.std=(0.0,)", "above 0"]),
    "a precision there is not": (["runtime.precision=fp16"], ["runtime.precision", "'fp32' or 'bf16'"]),
    "kernels there are not": (["runtime.cpu_kernels=fast"], ["runtime.cpu_kernels", "'auto' or 'off'"]),
    "no name for the results": (["results="], ["results", "not empty"]),
    "more seeds than anybody has": (["seeds=1000000"], ["seeds", "1000000", "10,000"]),
    "a chain that is no list": (["method=chain", "method.steps=5"], ["chain.steps=5", "at least two"]),
    "a missing hparams file": (["hparams=none.yaml"], ["none.yaml"]),
    "an empty range": (["method.space.lr.low=0.5"], ["lr", "0.5"]),
}


def seconds() -> float:
    """Processor seconds of this process: unlike the wall clock, these do not depend on what runs beside."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def refused(folder: Path, arguments: list[str], *, names: list[str], limit: float = 15.0) -> None:
    before = tree(folder)
    started = seconds()
    done = called(folder, "arch=smallnet", *arguments)
    took = seconds() - started
    assert done.returncode == 2, done.stdout + done.stderr
    for name in names:
        assert name in done.stderr, f"{name!r} is not named in: {done.stderr}"
    assert "remedy:" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert took < limit
    changed = {name for name, digest in tree(folder).items() if before.get(name) != digest}
    assert not {name for name in changed if "/cache/" not in f"/{name}"}, "only the cache may have grown"
    assert before.keys() <= tree(folder).keys()


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_setting(case: str, tmp_path: Path) -> None:
    arguments, names = CASES[case]
    refused(
        tmp_path,
        [argument for argument in arguments if not argument.startswith("arch")]
        if "architecture" not in case
        else arguments,
        names=names,
    )


TABLES = {  # likewise, of tables
    "a network for images on a table": (["dataset=iris", "arch=resnet18"], ["resnet18", "iris is a table", "arch=mlp"]),
    "an image size for a table": (
        ["dataset=wine", "dataset.image_size=32"],
        ["tables have no image size", "dataset.image_size=32", "leave it out"],
    ),
    "flips of a table": (
        ["dataset=iris", "dataset.flip=true"],
        ["dataset.flip", "not of dataset=iris", "leave dataset.flip out"],
    ),
    "a table without a file": (["dataset=table"], ["dataset.root", ".csv"]),
    "a table of the net that is not there": (
        ["dataset=uci", "dataset.id=53"],
        ["table 53 of uci is not there", "dataset.download=true"],
    ),
    "an unknown column": (
        ["dataset=iris", "dataset.ignore=[petal]"],
        ["petal", "petal length (cm)", "dataset.ignore"],
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_wrong_setting_of_a_table(case: str, tmp_path: Path) -> None:
    arguments, names = TABLES[case]
    refused(tmp_path, ["arch=mlp", *arguments], names=names)


def images(root: Path, classes: int = 2, per_class: int = 60, tests: int = 20) -> Path:
    """An image folder in train/CLASS and test/CLASS."""
    parts = (("train", per_class), ("test", tests))
    counts = {f"{part}/class{label}": count for part, count in parts for label in range(classes)}
    write_classes(root, counts, suffix=".jpg", size=32)
    return root


def test_a_single_class(tmp_path: Path) -> None:
    images(tmp_path / "one", classes=1)
    refused(tmp_path, ["dataset=folder", "dataset.root=one"], names=["one", "class"])


def test_a_class_without_images(tmp_path: Path) -> None:
    images(tmp_path / "two")
    (tmp_path / "two" / "train" / "hollow").mkdir()
    refused(tmp_path, ["dataset=folder", "dataset.root=two"], names=["hollow"])


def test_a_limit_that_leaves_too_few_test_images(tmp_path: Path) -> None:
    images(tmp_path / "two", per_class=100, tests=6)
    limited = ["dataset=folder", "dataset.root=two", "dataset.limit=150", "forget.ratio=0.2"]
    refused(tmp_path, limited, names=["dataset.limit", "9 of 12 test samples", "dataset.limit=167"])


def test_too_few_test_images(tmp_path: Path) -> None:
    images(tmp_path / "two", per_class=100, tests=4)
    refused(tmp_path, ["dataset=folder", "dataset.root=two"], names=["8 test samples", "dataset.test_ratio"])


def test_copies_where_none_are_wanted(tmp_path: Path) -> None:
    folder = images(tmp_path / "two")
    shutil.copy(folder / "train/class0/0000.jpg", folder / "test/class0/new.jpg")
    unwanted = ["dataset=folder", "dataset.root=two", "dataset.duplicates=error"]
    refused(tmp_path, unwanted, names=["train/class0/0000.jpg = test/class0/new.jpg", "dataset.duplicates=drop"])


def test_a_truncated_image(tmp_path: Path) -> None:
    images(tmp_path / "two")
    victim = tmp_path / "two" / "train" / "class1" / "0007.jpg"
    victim.write_bytes(victim.read_bytes()[:-200])
    refused(tmp_path, ["dataset=folder", "dataset.root=two"], names=["0007.jpg"])


@pytest.mark.slow
def test_truncated_weights_are_found_before_anything_is_computed(finished: Finished) -> None:
    weights = next(finished.store.glob("digits/smallnet/reference/original/seed1-*/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    refused(finished.folder, [*SMALL], names=[str(weights.parent.name), "1000 bytes"])


@pytest.mark.slow
def test_an_edited_config_is_found_before_anything_is_computed(finished: Finished) -> None:
    path = next(finished.store.glob("digits/smallnet/unlearned/msg/seed0-*/config.json"))
    config = json.loads(path.read_text())
    config["key"]["params"]["init_rate"] = 0.123
    path.write_text(json.dumps(config))
    refused(finished.folder, [*SMALL], names=[path.parent.name, "init_rate", "0.123"])


def test_a_results_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    refused(tmp_path, ["results=file/below"], names=["file"])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cells: [{dataset: digits}]", ["dataset", "arch"]),
        ("cell: []", ["cell", "cells"]),
        ("overrides: [method=ft]", ["method=ft", "methods"]),
        ("methods: [ft", ["mine.yaml"]),
        ("methods: [nosuch]", ["nosuch", "msg"]),
    ],
)
def test_a_wrong_sweep_file(tmp_path: Path, text: str, names: list[str]) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    refused(tmp_path, ["sweep=mine.yaml"], names=names)


def test_hparams_without_this_cell(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text("digits/resnet18/ft: {lr: 0.1}")
    refused(tmp_path, ["hparams=h.yaml"], names=["digits/smallnet/ft", "digits/resnet18/ft"])


def test_hparams_with_an_unknown_name(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text("digits/smallnet/ft: {learning_rate: 0.1}")
    refused(tmp_path, ["hparams=h.yaml"], names=["learning_rate", "ft.lr"])


@pytest.mark.slow
def test_a_run_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "results" / "runs" / name).mkdir(parents=True)
        (tmp_path / "results" / "runs" / name / "sweep.json").write_text("{" if name == "one" else '{"cells": 3}')
    done = run_command("status", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr and done.stdout.count("remedy:") == 2
    assert "one: the configuration of a run" in done.stdout and "two: the configuration of a run" in done.stdout
