"""CelebA: its lists and pictures are read as published, and lists that disagree are refused by name."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from deepunlearn.core.errors import ConfigError, DataError, MissingData
from deepunlearn.data.celeba import FOLDER, LISTS
from deepunlearn.data.sources import find, read
from tests.data.celeba_files import ATTRIBUTES, TEST, TRAIN, write_celeba


@pytest.fixture
def celeba(config, tmp_path):
    """(the shipped configuration, what was written)"""
    return config("celeba", root=str(tmp_path)), write_celeba(tmp_path, persons=20, pictures=4)


def test_labels_and_parts_are_those_of_the_lists(celeba):
    config, made = celeba
    raw = read(config, find(config))
    smiles = (made.attributes[:, ATTRIBUTES.index("Smiling")] == 1).astype(int)
    for part, number in ((raw.train, TRAIN), (raw.test, TEST)):
        rows = np.flatnonzero(made.parts == number)
        assert list(part.names) == [made.names[row] for row in rows]
        assert np.array_equal(part.labels, smiles[rows]) and part.labels.dtype == np.int64
    assert raw.class_names == ("not Smiling", "Smiling") and raw.channels == 3
    first = Image.open(find(config).root / "celeba/img_align_celeba" / raw.train.names[0])
    assert np.array_equal(next(iter(raw.train.images)), np.array(first))


def test_a_share_is_cut_off_all_pictures_where_one_is_given(celeba):
    config, made = celeba
    config = config.model_copy(update={"test_ratio": 0.25})
    raw = read(config, find(config))
    assert (len(raw.train.labels), len(raw.test.labels)) == (60, 20)
    assert sorted([*raw.train.names, *raw.test.names]) == made.names
    again = read(config, find(config))
    assert again.test.names == raw.test.names


def test_lists_in_another_order_are_read_alike(celeba):
    config, _ = celeba
    before = read(config, find(config))
    path = find(config).root / LISTS[0]
    head, rows = path.read_text().splitlines()[:2], path.read_text().splitlines()[2:]
    path.write_text("\n".join([*head, *reversed(rows)]))
    after = read(config, find(config))
    assert np.array_equal(before.train.labels, after.train.labels)


def test_every_attribute_can_be_the_target_and_is_another_data_set(celeba):
    config, made = celeba
    male = config.model_copy(update={"target": "Male"})
    assert find(male).fingerprint() != find(config).fingerprint()
    labels = read(male, find(male)).train.labels
    assert np.array_equal(labels, made.attributes[made.parts == TRAIN, ATTRIBUTES.index("Male")] == 1)


def test_persons_and_attributes_are_columns(celeba):
    config, made = celeba
    attributes = read(config, find(config)).attributes
    for columns, names, number in (
        (attributes.train, attributes.train_names, TRAIN),
        (attributes.test, attributes.test_names, TEST),
    ):
        rows = made.parts == number
        assert np.array_equal(columns["identity"], made.identities[rows])
        assert [*columns] == ["identity", *ATTRIBUTES]
        for at, name in enumerate(ATTRIBUTES):
            assert np.array_equal(columns[name], made.attributes[rows, at] == 1) and columns[name].dtype == np.int64
        assert list(names) == [name for name, one in zip(made.names, rows, strict=True) if one]


@pytest.mark.parametrize(("target", "word"), [("Smile", "did you mean 'Smiling'?"), (None, "dataset.target=Smiling")])
def test_the_target_has_to_be_an_attribute(celeba, target, word):
    config = celeba[0].model_copy(update={"target": target})
    with pytest.raises(ConfigError) as error:
        read(config, find(config))
    assert word in error.value.remedy and "Wearing_Hat" in error.value.allowed


@pytest.mark.parametrize("gone", [*LISTS, "celeba/img_align_celeba"])
def test_what_is_missing_is_named(celeba, gone, tmp_path):
    (tmp_path / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(MissingData, match="celeba is not there") as error:
        find(celeba[0])
    assert gone in error.value.given


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


UNFIT = {
    "a picture without attributes": (LISTS[0], "000007.jpg", "900007.jpg", "000007.jpg"),
    "a picture without a person": (LISTS[1], "000007.jpg", "900007.jpg", "000007.jpg"),
    "a picture without a part": (LISTS[2], "000007.jpg", "900007.jpg", "not in celeba/identity_CelebA.txt: 900007.jpg"),
    "a picture twice": (LISTS[2], "000007.jpg", "000008.jpg", "named twice: 000008.jpg"),
    "an attribute of 0": (LISTS[0], " -1 ", " 0 ", "other than -1 and 1"),
    "a person without a number": (LISTS[1], "000007.jpg ", "000007.jpg x", "no list of FILE NUMBER"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_lists_that_cannot_be_right_are_refused(celeba, tmp_path, case):
    file, old, new, given = UNFIT[case]
    (tmp_path / file).write_text(changed((tmp_path / file).read_text(), old, new))
    with pytest.raises(DataError) as error:
        read(celeba[0], find(celeba[0]))
    assert given in str(error.value.given) and error.value.remedy


def test_a_listed_picture_that_is_not_there_is_named(celeba, tmp_path):
    (tmp_path / "celeba/img_align_celeba/000011.jpg").unlink()
    with pytest.raises(DataError) as error:
        read(celeba[0], find(celeba[0]))
    assert "1 pictures" in error.value.given and "000011.jpg" in error.value.given


@pytest.mark.slow
def test_the_lists_of_all_of_celeba_are_read_in_seconds(celeba, tmp_path):
    """202,599 rows as published, without the pictures: what is read of them is no more than the lists."""
    count = 202_599
    names = [f"{number:06d}.jpg" for number in range(1, count + 1)]
    rows = ["  ".join(np.where(np.random.RandomState(seed).rand(40) < 0.5, " 1", "-1")) for seed in range(100)]
    lines = [f"{name}  {rows[number % 100]}" for number, name in enumerate(names)]
    (tmp_path / LISTS[0]).write_text("\n".join([str(count), " ".join(ATTRIBUTES), *lines]))
    (tmp_path / LISTS[1]).write_text("".join(f"{name} {number % 10_177}\n" for number, name in enumerate(names)))
    parts = np.digitize(np.arange(count), [162_770, 182_637])
    (tmp_path / LISTS[2]).write_text("".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True)))
    inventory = find(celeba[0])
    files = tuple(inventory.files[0]._replace(path=f"{FOLDER}/{name}") for name in names)
    start = time.process_time()
    raw = read(celeba[0], type(inventory)(inventory.root, files, inventory.facts))
    assert (len(raw.train.labels), len(raw.test.labels)) == (162_770, 19_962), "as conf/dataset/celeba.yaml says"
    assert time.process_time() - start < 30
