"""The cache of decoded images: content decides, nothing is decoded twice, damage and rivals do no harm."""

from __future__ import annotations

import errno
import json
import mmap
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepunlearn.core.errors import DataError
from deepunlearn.data import decoded, images, sources
from deepunlearn.data.decoded import digest_of, load
from tests.data.small_data import noise, write_classes, write_image, write_mnist

GOLDEN = {"mnist": "d190c13f6dbfb688", "cifar10": "d4eebacccaf2de63", "cifar100": "01517f693f90b7cc"}


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "images"
    write_classes(root, {"train/a": 3, "train/b": 2, "test/a": 1, "test/b": 2})
    return root


@pytest.fixture
def opening(config, progress, folder, tmp_path):
    """load() on the folder and a cache of its own."""
    return lambda **changes: load(config("folder", root=str(folder), **changes), tmp_path / "cache", progress)


@pytest.fixture
def opened(monkeypatch) -> list[Path]:
    """The image files decoded so far."""
    seen: list[Path] = []
    real = images.decode
    monkeypatch.setattr(images, "decode", lambda path, *more: (seen.append(path), real(path, *more))[1])
    return seen


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """One entry for each time all files of a dataset were read to name their content."""
    seen: list[str] = []
    real = decoded.Inventory.content_key

    def content_key(inventory, label, progress):
        seen.append(label)
        return real(inventory, label, progress)

    monkeypatch.setattr(decoded.Inventory, "content_key", content_key)
    return seen


def cache_folders(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "data").iterdir() if path.name != "keys")


# ------------------------------------------------------------------------------------------------------------ content


def test_images_are_resized_and_labelled_in_order(opening, folder):
    data = opening(image_size=8)
    assert data.train_images.shape == (5, 3, 8, 8)
    assert data.test_images.shape == (3, 3, 8, 8)
    assert data.train_images.dtype == np.uint8
    assert isinstance(data.train_images, np.memmap) and not data.train_images.flags.writeable
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1]
    assert data.test_labels.tolist() == [0, 1, 1]
    assert data.train_labels.dtype == np.int64
    assert data.class_names == ("a", "b")
    with Image.open(folder / "train/b/0001.png") as image:
        expected = np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(data.train_images[4], expected)


def test_grey_sets_take_one_channel_on_disk(config, progress, tmp_path):
    originals, _ = write_mnist(tmp_path)
    data = load(config("mnist", root=str(tmp_path)), tmp_path / "cache", progress)
    assert data.train_images.shape == (40, 1, 32, 32)
    expected = Image.fromarray(originals[7]).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(data.train_images[7, 0], np.asarray(expected))


def test_grey_files_among_colour_ones_become_rgb(opening, folder):
    write_image(folder / "train/a/0001.png", noise(9, 12, 12))
    data = opening(image_size=12)
    assert np.array_equal(data.train_images[1], np.stack([noise(9, 12, 12)] * 3))


def test_the_digest_of_digits_never_changes(config, progress, tmp_path):
    """Golden: a change of it orphans every stored result."""
    expected = "a29a8f15d0a0598a185a0df0c7f73af459efecbabd207e73b3397e237b0ebec8"
    assert digest_of(config("digits"), tmp_path, progress).digest == expected


def test_the_digest_of_plain_image_files_never_changes(config, progress, tmp_path):
    """Golden: neither orientation nor transparency is in these, so what is stored of such files stays theirs."""
    write_classes(tmp_path / "images", {"train/a": 3, "train/b": 2, "test/a": 1, "test/b": 2})
    for number, mode in enumerate(["1", "L", "LA", "P", "RGB", "RGBA"]):
        write_image(tmp_path / "images/train/b" / f"{mode}.png", noise(50 + number, 9, 7, 3), mode)
    write_image(tmp_path / "images/train/a/x.jpg.png", noise(60, 9, 7))
    expected = "c6b8058095d930c70bd2f3cf5bb1d03152e978d5865444864f24afa5baecc3d7"
    settings = config("folder", root=str(tmp_path / "images"))
    assert digest_of(settings, tmp_path / "cache", progress).digest == expected


@pytest.mark.parametrize("name", GOLDEN)
def test_the_digest_of_torchvisions_files_is_what_it_was(config, write_cifar, tmp_path, progress, name):
    """Golden, made when torchvision itself loaded them."""
    write_mnist(tmp_path) if name == "mnist" else write_cifar(tmp_path, name, per_batch=100)
    found = digest_of(config(name, root=str(tmp_path)), tmp_path / "cache", progress)
    assert found.digest[:16] == GOLDEN[name]


def test_digest_of_agrees_with_load(config, progress, folder, tmp_path):
    settings = config("folder", root=str(folder))
    quick, whole = (call(settings, tmp_path / "cache", progress) for call in (digest_of, load))
    assert (quick.digest, quick.class_names) == (whole.digest, whole.class_names)
    assert np.array_equal(quick.train_labels, whole.train_labels)
    assert np.array_equal(quick.test_labels, whole.test_labels)
    assert len(quick.digest) == 64


def digest(config, progress, root, cache, **changes) -> str:
    return digest_of(config("folder", root=str(root), **changes), cache, progress).digest


def test_the_digest_does_not_depend_on_path_time_or_size(config, progress, folder, tmp_path):
    cache = tmp_path / "cache"
    first = digest(config, progress, folder, cache)
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    for path in copy.rglob("*.png"):
        os.utime(path, (1, 1))
    assert digest(config, progress, copy, cache) == first
    assert len(cache_folders(cache)) == 1  # the same content is decoded once, wherever it lies
    assert digest(config, progress, folder, cache, image_size=16) == first
    assert len(cache_folders(cache)) == 2


def test_the_digest_is_of_pixels_and_not_of_their_encoding(config, progress, folder, tmp_path):
    first = digest(config, progress, folder, tmp_path / "cache")
    path = folder / "train/a/0000.png"
    before = path.read_bytes()
    with Image.open(path) as image:
        image.load()
    image.save(path, compress_level=1)
    assert path.read_bytes() != before
    assert digest(config, progress, folder, tmp_path / "cache") == first


def test_an_orientation_changes_the_digest(config, progress, folder, tmp_path):
    before = digest(config, progress, folder, tmp_path / "cache")
    tags = Image.Exif()
    tags[0x0112] = 3
    path = folder / "train/a/0000.png"
    with Image.open(path) as image:
        image.save(path, exif=tags)
    assert digest(config, progress, folder, tmp_path / "cache") != before


def test_the_background_is_part_of_the_data_where_it_shows(config, progress, folder, tmp_path):
    backgrounds = ("black", "white", "black")
    plain = {digest(config, progress, folder, tmp_path / "cache", background=one) for one in backgrounds}
    assert len(plain) == 1
    Image.fromarray(np.zeros((12, 12, 4), dtype=np.uint8)).save(folder / "train/a/0000.png")
    black, white, again = (digest(config, progress, folder, tmp_path / "cache", background=one) for one in backgrounds)
    assert black == again and black != white


@pytest.mark.parametrize("change", ["pixel", "label", "class name", "part", "order"])
def test_the_digest_changes_with(config, progress, folder, tmp_path, change):
    before = digest(config, progress, folder, tmp_path / "cache")
    if change == "pixel":
        pixels = np.array(Image.open(folder / "train/a/0000.png"))
        pixels[3, 3, 0] ^= 1
        write_image(folder / "train/a/0000.png", pixels)
    elif change == "label":
        (folder / "train/a/0002.png").rename(folder / "train/b/0000a.png")
    elif change == "class name":
        for part in ("train", "test"):
            (folder / part / "b").rename(folder / part / "c")
    elif change == "part":
        (folder / "train/b/0001.png").rename(folder / "test/b/000.png")
    else:
        (folder / "train/a/0000.png").rename(folder / "train/a/9.png")
    assert digest(config, progress, folder, tmp_path / "cache") != before


# -------------------------------------------------------------------------------------------------------------- cache


def test_a_second_run_opens_no_image(opening, opened, hashed):
    first = opening()
    assert (len(opened), len(hashed)) == (8, 1)
    second = opening()
    assert (len(opened), len(hashed)) == (8, 1)
    assert np.array_equal(first.train_images, second.train_images)


def test_touched_files_are_read_but_not_decoded_again(opening, folder, opened, hashed):
    opening()
    os.utime(folder / "train/a/0000.png")
    opening()
    assert (len(opened), len(hashed)) == (8, 2)


def test_a_replaced_file_of_equal_size_and_mtime_is_noticed(config, progress, folder, tmp_path):
    path = folder / "train/a/0000.png"
    Image.fromarray(noise(1, 12, 12, 3)).save(path, compress_level=0)
    stat = path.stat()
    before = digest(config, progress, folder, tmp_path / "cache")
    Image.fromarray(noise(2, 12, 12, 3)).save(path, compress_level=0)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert digest(config, progress, folder, tmp_path / "cache") != before


def test_a_memory_of_another_format_is_ignored(config, progress, folder, tmp_path, hashed):
    cache = tmp_path / "cache"
    first = digest(config, progress, folder, cache)
    (memo,) = (cache / "data/keys").iterdir()
    memo.write_bytes(b"\xff../../etc")
    assert digest(config, progress, folder, cache) == first
    assert len(hashed) == 2


def cut_images(entry: Path) -> None:
    path = entry / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-10])


def cut_facts(entry: Path) -> None:
    path = entry / "data.json"
    path.write_text(path.read_text()[:50])


def without_later_facts(entry: Path) -> None:
    """As earlier versions wrote it."""
    facts = json.loads((entry / "data.json").read_text())
    (entry / "data.json").write_text(json.dumps({name: facts[name] for name in ("digest", "class_names", "bytes")}))


DAMAGES = {
    "facts of an earlier version": without_later_facts,
    "no hashes": lambda entry: (entry / "train_hashes.npy").unlink(),
    "cut images": cut_images,
    "cut facts": cut_facts,
    "foreign facts": lambda entry: (entry / "data.json").write_text("[1]"),
    "no facts": lambda entry: (entry / "data.json").unlink(),
    "no labels": lambda entry: (entry / "test_labels.npy").unlink(),
    "an empty folder": lambda entry: (shutil.rmtree(entry), entry.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_decoded_again(opening, tmp_path, opened, damage):
    cache = tmp_path / "cache"
    first = opening()
    expected = np.array(first.train_images)
    (entry,) = cache_folders(cache)
    DAMAGES[damage](cache / "data" / entry)
    again = opening()
    assert len(opened) == 16
    assert np.array_equal(again.train_images, expected)
    assert again.digest == first.digest
    assert cache_folders(cache) == [entry]


def test_two_writers_leave_one_whole_entry(opening, tmp_path, monkeypatch):
    real, nested = decoded._write, []

    def overtaken(*arguments):
        """Another process starts later and finishes first."""
        facts = real(*arguments)
        if not nested:
            nested.append(None)
            nested[0] = opening()
        return facts

    monkeypatch.setattr(decoded, "_write", overtaken)
    mine = opening()
    assert len(cache_folders(tmp_path / "cache")) == 1
    assert mine.digest == nested[0].digest
    assert np.array_equal(mine.train_images, nested[0].train_images)


def test_many_at_once(opening, tmp_path):
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: opening(), range(6)))
    assert len({result.digest for result in results}) == 1
    assert all(np.array_equal(result.train_images, results[0].train_images) for result in results)
    assert len(cache_folders(tmp_path / "cache")) == 1


def test_a_failure_leaves_nothing_behind(opening, folder, tmp_path):
    path = folder / "test/b/0001.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"test/b/0001\.png"):
        opening()
    assert cache_folders(tmp_path / "cache") == []


def test_images_are_read_where_the_file_system_maps_no_files(opening, monkeypatch):
    """For instance 9p without a cache: ENODEV, "No such device"."""
    expected = np.array(opening().train_images)

    def refused(*_, **__):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(mmap, "mmap", refused)
    found = opening().train_images
    assert np.array_equal(found, expected) and not isinstance(found, np.memmap)


def test_files_that_change_meanwhile_are_refused(opening, folder, tmp_path, monkeypatch):
    """For instance an archive that is still being unpacked."""
    real = sources.read

    def unpacking(settings, inventory):
        write_image(folder / "train/a/0077.png", noise(77, 12, 12, 3))
        return real(settings, inventory)

    monkeypatch.setattr(sources, "read", unpacking)
    with pytest.raises(DataError, match="changed while they were read"):
        opening()
    assert cache_folders(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_says_what_to_do(opening, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="cannot write decoded images") as error:
        opening()
    assert "results=DIR" in error.value.remedy


def test_the_number_of_classes_must_be_the_datasets(config, progress, folder, tmp_path):
    with pytest.raises(DataError, match="cifar10 has 10 classes, these files have 2") as error:
        load(config("cifar10", source="folder", root=str(folder)), tmp_path / "cache", progress)
    assert error.value.given == "a, b"


def test_facts_name_no_path(opening, tmp_path):
    opening()
    (entry,) = cache_folders(tmp_path / "cache")
    facts = json.loads((tmp_path / "cache/data" / entry / "data.json").read_text())
    assert str(tmp_path) not in json.dumps(facts)


# --------------------------------------------------------------------------------------------------------- attributes


def test_names_of_files_are_known_whatever_the_size_of_images(opening, tmp_path):
    first, other = opening(), opening(image_size=8)
    assert len(cache_folders(tmp_path / "cache")) == 2, "nobody has asked yet"
    expected = ["train/a/0000.png", "train/a/0001.png", "train/a/0002.png", "train/b/0000.png", "train/b/0001.png"]
    assert list(first.attributes.train_names) == expected == list(other.attributes.train_names)
    assert list(first.attributes.test_names) == ["test/a/0000.png", "test/b/0000.png", "test/b/0001.png"]
    assert not first.attributes.train
    assert len(cache_folders(tmp_path / "cache")) == 3


def test_columns_of_a_source_are_kept_as_images_are_decoded(opening, tmp_path, monkeypatch):
    real, calls = sources.read, []

    def read(config, inventory):
        calls.append(1)
        raw = real(config, inventory)
        return replace(raw, train=replace(raw.train, columns={"age": np.arange(5)}))

    monkeypatch.setattr(sources, "read", read)
    assert opening().attributes.train["age"].tolist() == [0, 1, 2, 3, 4]
    assert opening().attributes.train["age"].dtype == np.int64 and len(calls) == 1


# -------------------------------------------------------------------------------------------------------------- speed


def test_a_warm_digest_imports_no_torch(config, progress, tmp_path):
    write_mnist(tmp_path)
    settings = config("mnist", root=str(tmp_path))
    expected = digest_of(settings, tmp_path / "cache", progress).digest
    code = f"""
import sys
from pathlib import Path
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.decoded import digest_of
from deepunlearn.data.splits import make_splits
settings = DatasetConfig.model_validate_json({settings.model_dump_json()!r})
print(digest_of(settings, Path({str(tmp_path / "cache")!r}), Progress(quiet=True)).digest)
print(sorted({{"torch", "torchvision", "sklearn"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [expected, "[]"]
