"""What a command asks for, and what is refused before any data are read."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.samples import Labelled
from deepunlearn.data.attributes import Attributes
from deepunlearn.deletion.request import cut_off, find_ids, ids_sha256, read_request
from deepunlearn.forget.list import Listed
from tests.data.small_data import write_classes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.pt").write_bytes(b"weights")
    (tmp_path / "ids.csv").write_text("id\n3\n1\n", encoding="utf-8")
    (tmp_path / "empty.csv").write_text("\n", encoding="utf-8")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


STRANGE = r"forget\.|sweep(?!\.yaml)|retrained"
GIVEN = {"model": "net.pt", "data": "photos", "ids": "ids.csv", "out": "out", "arch": "smallnet", "method": "ft"}


def arguments(*changes: str) -> list[str]:
    """The command of `GIVEN` with changes; NAME- leaves one out."""
    left_out = {one.removesuffix("-") for one in changes if one.endswith("-")}
    given = {name: f"{name}={value}" for name, value in GIVEN.items() if name not in left_out}
    changed = {one.partition("=")[0]: one for one in changes if not one.endswith("-")}
    return [*(given | changed).values()]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (["model-"], "model= is missing"),
        (["ids-"], "ids= is missing"),
        (["out-"], "out= is missing"),
        (["model=none.pt"], "there is no such file of weights"),
        (["out=there"], "out= is there already"),
        (["out=net.pt"], "out= is there already"),
        (["out=nowhere/out"], "out= cannot be made where it is to be"),
        (["out=net.pt/out"], "out= cannot be made where it is to be"),
        (["out=photos/out"], "out= lies in the folder of the data"),
        (["out=net/../photos/train/out"], "out= lies in the folder of the data"),
        (["ids=none.csv"], "ids=none.csv cannot be used"),
        (["ids=empty.csv"], "ids=empty.csv cannot be used"),
        (["method=nosuch"], "unknown method 'nosuch'"),
        (["method=ft,ga"], "unknown method 'ft,ga'"),
        (["method=chain"], "unknown method 'chain'"),
        (["method=amnesiac"], "method amnesiac needs a record of the model's training"),
        (["method=sisa"], "method sisa needs a record of the model's training"),
        (["method.params.nosuch=1"], "unknown option 'method.params.nosuch'"),
        (["method.params.lr=fast"], "method.params.lr"),
        (["method-", "method.params.lr=0.1"], "method=auto takes its values from stored results"),
        (["arch=nosuch"], "unknown arch 'nosuch'"),
        (["arch=torchvision"], "arch=torchvision is many networks"),
        (["arch=smallnet,mlp"], "a deletion is of one model"),
        (["arch.weights=net.pt"], "arch.weights has no place in a deletion"),
        (["dataset.limit=100"], "dataset.limit has no place in a deletion"),
        (["dataset.root=photos"], "data= and dataset.root= say where the images are"),
        (["checks.accuracy_drop=2"], "checks.accuracy_drop has a value that cannot be used"),
        (["checks.attack_auc=0.5"], "checks.attack_auc has a value that cannot be used"),
        (["seed=-1"], "seed has a value that cannot be used"),
        (["relearn=perhaps"], "relearn has a value that cannot be used"),
        (["seeds=3"], "unknown option 'seeds'"),
        (["train.epochs=3"], "unknown option 'train.epochs'"),
        (["words"], "cannot read 'words'"),
        (["method.ga.params.lr=0.1"], "unknown option 'method.ga.params.lr'"),
        (["method.space.lr.low=0.1"], "unknown option 'method.space.lr.low'"),
        (["dataset.mean=grey"], "dataset.mean has a value that cannot be used"),
        (["dataset.nosuch=1"], "unknown option 'dataset.nosuch'"),
        (["arch.nosuch=1"], "unknown option 'arch.nosuch'"),
        (["runtime.threads=none"], "runtime.threads has a value that cannot be used"),
        (["seed=1,2"], "seed takes one value"),
        (["dataset.image_size=32,64"], "dataset.image_size takes one value"),
        (["seed=[1"], "cannot read 'seed=[1'"),
        (["+seed=1"], "options cannot be added"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(folder: Path, changes: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_request(arguments(*changes))
    assert problem in caught.value.problem
    assert caught.value.given is not None and caught.value.allowed and caught.value.remedy
    assert not re.search(STRANGE, str(caught.value)), "who asks for a deletion may never have heard of them"
    assert "did you mean 'chain'" not in str(caught.value)


def test_weights_that_may_not_be_read_are_told_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigError, match="you may not read net"):
        read_request(arguments())


def test_an_option_that_is_given_twice_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="ids= is given twice") as caught:
        read_request([*arguments(), "ids=more.csv"])
    assert caught.value.given == "ids=ids.csv ids=more.csv"


def test_a_command_says_all_and_defaults_the_rest(folder: Path) -> None:
    asked = read_request(arguments("method.params.lr=1e-3", "checks.accuracy_drop=0.1", "dataset.image_size=64"))
    assert asked.method is not None and asked.method.fixed == {"lr": 0.001}
    assert (asked.limits.accuracy_drop, asked.limits.attack_auc, asked.limits.relearn) == (0.1, 0.05, True)
    assert asked.cell.dataset.source == "folder" and asked.cell.dataset.root == "photos"
    assert asked.cell.dataset.image_size == 64
    assert read_request(arguments("method-")).method is None


@pytest.mark.parametrize("name", ["2024", "my photos, new (1)", "Ann's", "null"])
def test_a_folder_of_data_may_have_any_name(folder: Path, name: str) -> None:
    assert read_request(arguments(f"data={name}")).cell.dataset.root == name


def test_a_test_part_is_cut_off_only_where_the_command_says_so(folder: Path) -> None:
    digits = ["data-", "dataset=digits"]
    with pytest.raises(ConfigError, match="no test part of their own"):
        cut_off(read_request(arguments(*digits)))
    assert cut_off(read_request(arguments(*digits, "dataset.test_ratio=0.2")))
    write_classes(folder / "photos", {f"{part}/{name}": 2 for part in ("train", "test") for name in "ab"})
    assert not cut_off(read_request(arguments()))
    assert not cut_off(read_request(arguments("dataset.test_ratio=0.2")))


def test_images_of_a_known_data_set_keep_its_values(folder: Path) -> None:
    dataset = read_request(arguments("dataset=cifar10")).cell.dataset
    assert (dataset.name, dataset.source, dataset.root) == ("cifar10", "folder", "photos")
    assert dataset.mean is not None


def test_listed_numbers_are_found_sorted(folder: Path) -> None:
    found = find_ids(read_request(arguments()), Labelled(np.arange(5) % 2, np.arange(5) % 2))
    assert found.rows.tolist() == [1, 3] and found.listed_by == "id"
    with pytest.raises(ConfigError, match="lists 1 sample that the dataset does not have") as caught:
        find_ids(read_request(arguments()), Labelled(np.arange(3) % 2, np.arange(3) % 2))
    assert "ids=ids.csv" in caught.value.problem and caught.value.allowed == "numbers of training samples, 0 to 2"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True), st.randoms(use_true_random=False))
def test_the_hash_of_a_list_depends_on_its_samples_alone(numbers: list[int], draw: random.Random) -> None:
    spelled = [draw.choice([str(one), f"0{one}"]) for one in numbers]
    draw.shuffle(spelled)
    lines = "".join(f"{one}\n" for one in sorted(numbers))
    assert ids_sha256(Listed(spelled, "id", [])) == hashlib.sha256(lines.encode()).hexdigest()
    assert ids_sha256(Listed([*spelled, str(10**6 + 1)], "id", [])) != hashlib.sha256(lines.encode()).hexdigest()


def test_names_are_hashed_as_the_data_have_them() -> None:
    one = ids_sha256(Listed(["train/b/ä.png", "train/a/1.png"], "file", []))
    assert one == ids_sha256(Listed(["./train/a/1.png", "train/c/../b/ä.png"], "file", []))
    assert one == hashlib.sha256("train/a/1.png\ntrain/b/ä.png\n".encode()).hexdigest()


def test_a_list_of_windows_has_the_same_rows_and_hash(folder: Path) -> None:
    names = [f"train/a/{number}.png" for number in range(4)]
    data = Labelled(np.arange(4) % 2, np.arange(4) % 2, attributes=Attributes(train_names=names))
    found = []
    for spelled in (names[:2], [name.replace("/", "\\") for name in names[:2]]):
        (folder / "ids.csv").write_text("\n".join(["file", *spelled]), encoding="utf-8")
        found.append(find_ids(read_request(arguments()), data))
    assert found[0].rows.tolist() == found[1].rows.tolist() == [0, 1] and found[0].sha256 == found[1].sha256
