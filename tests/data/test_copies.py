"""Images that are there twice: found whatever their files, told apart by where they are, left out where asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepunlearn.core.errors import ConfigError, DataError
from deepunlearn.core.split import Split
from deepunlearn.data.copies import Images, pixel_hash, shared
from deepunlearn.data.decoded import Digest, digest_of, load
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.halves import HalvesForget
from deepunlearn.forget.random import RandomForget
from tests.data.small_data import noise, write_classes, write_image, write_mnist

TENTH = RandomForget(name="random", ratio=0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 + 12 different images of two classes."""
    root = tmp_path / "images"
    write_classes(root, {"train/a": 20, "train/b": 20, "test/a": 6, "test/b": 6})
    return root


@pytest.fixture
def digest(config, progress, folder, tmp_path):
    def read(**changes: object) -> Digest:
        return digest_of(config("folder", root=str(folder), **changes), tmp_path / "cache", progress)

    return read


def counts(found: Digest) -> dict[str, int]:
    return {kind: one.count for kind, one in found.copies.items() if one.count}


def test_different_images_are_no_copies(digest) -> None:
    assert counts(digest()) == {} and digest().dropped.tolist() == []


def test_training_images_in_the_test_part_are_found_and_named(digest, folder) -> None:
    for index in range(10):
        shutil.copy(folder / f"train/a/{index:04d}.png", folder / f"test/a/copy{index}.png")
    found = digest()
    assert counts(found) == {"in test": 10}
    pairs = [(f"train/a/{index:04d}.png", f"test/a/copy{index}.png") for index in range(3)]
    assert found.copies["in test"].examples == tuple(pairs)


def test_a_repeated_image_is_found_in_another_format_and_colour(digest, folder) -> None:
    write_image(folder / "train/a/0000.png", noise(7, 12, 12))
    write_image(folder / "train/a/0001.bmp", np.stack([noise(7, 12, 12)] * 3, axis=-1))
    Image.open(folder / "train/a/0002.png").save(folder / "train/a/zzz.webp", lossless=True)
    assert counts(digest()) == {"repeated": 2}
    assert digest().copies["repeated"].examples[1] == ("train/a/zzz.webp", "train/a/0002.png")


def test_one_picture_with_two_labels_is_a_finding_of_its_own(digest, folder) -> None:
    shutil.copy(folder / "train/a/0003.png", folder / "train/b/x.png")
    shutil.copy(folder / "train/b/0003.png", folder / "test/a/x.png")
    found = digest()
    assert counts(found) == {"in test": 1, "repeated": 1, "other labels": 2}
    examples = {("train/b/x.png", "train/a/0003.png"), ("test/a/x.png", "train/b/0003.png")}
    assert {*found.copies["other labels"].examples} == examples


def test_images_in_memory_are_compared_and_numbered(config, progress, tmp_path) -> None:
    write_mnist(tmp_path, train=40, test=20)
    path = tmp_path / "MNIST/raw/t10k-images-idx3-ubyte"
    content, train = bytearray(path.read_bytes()), noise(1, 40, 28, 28)
    content[16 + 5 * 784 : 16 + 6 * 784] = train[15].tobytes()
    path.write_bytes(content)
    found = digest_of(config("mnist", root=str(tmp_path)), tmp_path / "cache", progress)
    assert counts(found) == {"in test": 1}
    assert found.copies["in test"].examples == (("training image 15", "test image 5"),)


def test_copies_are_refused_where_asked(digest, folder) -> None:
    digest(duplicates="error")
    shutil.copy(folder / "train/a/0003.png", folder / "test/a/x.png")
    shutil.copy(folder / "train/a/0004.png", folder / "train/a/y.png")
    with pytest.raises(DataError, match="images twice") as error:
        digest(duplicates="error")
    assert "1 training images are in the test part too, 1 are equal" in error.value.given
    assert "train/a/0003.png = test/a/x.png; train/a/y.png = train/a/0004.png" in error.value.given
    assert "dataset.duplicates=drop" in error.value.remedy


def test_dropping_leaves_out_what_is_in_test_and_all_but_the_first(config, progress, digest, folder, tmp_path) -> None:
    plain = digest()
    shutil.copy(folder / "train/a/0003.png", folder / "test/a/x.png")
    shutil.copy(folder / "train/a/0004.png", folder / "train/b/y.png")
    warned, dropped = digest(), digest(duplicates="drop")
    assert dropped.dropped.tolist() == [3, 40] and warned.dropped.tolist() == []
    assert len({plain.digest, warned.digest, dropped.digest}) == 3
    whole = load(config("folder", root=str(folder), duplicates="drop"), tmp_path / "cache", progress)
    assert whole.digest == dropped.digest and np.array_equal(whole.dropped, dropped.dropped)


def test_dropping_nothing_is_the_same_data(digest) -> None:
    assert digest(duplicates="drop").digest == digest().digest


def test_what_is_dropped_is_in_no_part_of_a_split() -> None:
    train, test, dropped = np.arange(400) % 2, np.arange(40) % 2, [0, 7, 399]
    halves = HalvesForget.model_construct(name="halves", halvings=2, parts=2)
    for limit in (None, 200):
        split = make_splits(train, test, limit=limit, val_ratio=0.15, forget=TENTH, seed=1, dropped=dropped).of(0)
        used = np.concatenate([split.train, split.val])
        assert not np.isin(dropped, used).any() and len(used) == (limit or 397) and used.max() < 399
        design = make_splits(train, test, limit=limit, val_ratio=0.15, forget=halves, seed=1, dropped=dropped)
        for one in map(design.of, design.seeds):
            assert not np.isin(dropped, np.concatenate([one.train, one.val])).any()
    with pytest.raises(ConfigError, match=r"dataset\.limit is larger"):
        make_splits(train, test, limit=398, val_ratio=0.15, forget=TENTH, seed=1, dropped=dropped)


def test_a_class_of_copies_only_is_refused_when_they_are_dropped() -> None:
    train = np.array([0] * 200 + [1] * 200 + [2] * 5)
    with pytest.raises(ConfigError, match="no sample of some classes"):
        make_splits(train, train, limit=None, val_ratio=0.15, forget=TENTH, seed=1, dropped=range(400, 405))


def test_samples_shared_by_the_parts_of_a_split_are_counted() -> None:
    train = np.array([1, 2, 3, 4, 1, 3, 9, 9], dtype=np.uint64)
    test = np.array([2, 50, 9], dtype=np.uint64)
    split = Split(*(np.array(rows) for rows in ([0, 1, 5], [2, 3, 4], [6], [0, 1, 2])))
    assert shared(split, train, test) == {"forget": 2, "val": 0, "test": 1}
    other = Split(*(np.array(rows) for rows in ([0, 6], [2], [4, 5, 7], [0])))
    assert shared(other, train, test) == {"forget": 0, "val": 3, "test": 0}


def test_the_first_of_equals_is_the_earliest() -> None:
    images = Images(np.array([5, 3, 5, 3, 5], dtype=np.uint64), np.zeros(5, dtype=int), 4)
    assert images.first().tolist() == [0, 1, 0, 1, 0]
    assert images.in_test().tolist() == [0, 2] and images.repeated().tolist() == [2, 3]
    assert images.surplus().tolist() == [0, 2, 3]


def test_hashes_are_the_same_on_every_machine() -> None:
    """They are kept in the cache, which may lie on a shared file system."""
    assert pixel_hash(bytes(range(256))) == 0x3FAD55D6FEED2C2B
