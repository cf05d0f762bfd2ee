"""Readers: images and labels of each source in its own file format, and refusals that name file and remedy."""

from __future__ import annotations

import io
import os
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torchvision.datasets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile
from sklearn.datasets import load_digits

from deepunlearn.core.errors import ConfigError, DataError, MissingData
from deepunlearn.data.decoded import load
from deepunlearn.data.endings import counted
from deepunlearn.data.folders import age_group
from deepunlearn.data.images import decode, resized
from deepunlearn.data.sources import find, read
from deepunlearn.data.sources.torchvision import SETS
from tests.data.small_data import noise, write_classes, write_image, write_mnist


def read_all(config):
    """(training images, training labels, test images, test labels, class names, channels)"""
    raw = read(config, find(config))
    train, test = raw.train, raw.test
    return list(train.images), train.labels, list(test.images), test.labels, raw.class_names, raw.channels


# -------------------------------------------------------------------------------------------------------- torchvision


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files_are_read_as_grey_images(config, tmp_path, name, folder):
    images, labels = write_mnist(tmp_path, folder)
    train, train_labels, test, test_labels, names, channels = read_all(config(name, root=str(tmp_path)))
    assert np.array_equal(train, images)
    assert np.array_equal(train_labels, labels)
    assert train_labels.dtype == np.int64
    assert (len(test), len(test_labels), len(names), channels) == (20, 20, 10, 1)


@pytest.mark.parametrize(("name", "per_batch"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_batches_are_read_as_colour_images(config, write_cifar, tmp_path, name, per_batch):
    images = write_cifar(tmp_path, name, per_batch)
    train, labels, test, _, names, channels = read_all(config(name, root=str(tmp_path)))
    assert np.array_equal(np.stack(train).transpose(0, 3, 1, 2), images)
    assert labels[:3].tolist() == [0, 1, 2]
    assert (len(test), names[0], channels) == (per_batch, "class 0", 3)


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "CIFAR10", "CIFAR100"])
def test_our_list_of_files_is_what_torchvision_reads(name):
    reader = getattr(torchvision.datasets, name)
    if name.startswith("CIFAR"):
        listed = [file for file, _ in reader.train_list + reader.test_list] + [reader.meta["filename"]]
        expected = {f"{reader.base_folder}/{file}" for file in listed}
    else:
        expected = {f"{reader.__name__}/raw/{file.removesuffix('.gz')}" for file, _ in reader.resources}
    assert set(SETS[name].files) == expected


def test_missing_files_are_listed_with_both_remedies(config, tmp_path):
    write_mnist(tmp_path)
    gone = tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte"
    gone.unlink()
    with pytest.raises(MissingData, match="mnist is not there") as error:
        find(config("mnist", root=str(tmp_path)))
    assert error.value.given == "missing MNIST/raw/t10k-labels-idx1-ubyte"
    assert "MNIST/raw/train-images-idx3-ubyte" in error.value.allowed
    assert "dataset.download=true" in error.value.remedy and "dataset.root=DIR" in error.value.remedy
    assert str(tmp_path) in str(error.value)


def test_a_failed_download_says_why(config, tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise URLError("name resolution failed")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", no_network)
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_network)
    for name in ("mnist", "cifar10"):
        with pytest.raises(DataError, match=r"download .* failed") as error:
            find(config(name, root=str(tmp_path), download=True))
        assert "name resolution failed" in error.value.given


def test_a_download_is_only_tried_where_files_are_missing(config, tmp_path, monkeypatch):
    write_mnist(tmp_path)
    monkeypatch.setattr("torchvision.datasets.MNIST.download", lambda _: pytest.fail("downloaded"))
    assert len(find(config("mnist", root=str(tmp_path), download=True)).files) == 4


def test_a_truncated_idx_file_is_refused(config, tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged") as error:
        read_all(config("mnist", root=str(tmp_path)))
    assert str(path.parent) in error.value.remedy


def test_a_changed_cifar_file_is_refused(config, write_cifar, tmp_path):
    write_cifar(tmp_path, "cifar10")
    (tmp_path / "cifar-10-batches-py/data_batch_3").write_bytes(b"not the file torchvision expects")
    with pytest.raises(DataError, match="damaged"):
        read_all(config("cifar10", root=str(tmp_path)))


def test_labels_out_of_range_are_refused(config, tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "MNIST/raw/train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + bytes([77]))
    with pytest.raises(DataError, match="cannot be used") as error:
        read_all(config("mnist", root=str(tmp_path)))
    assert error.value.given == "labels of the training part go from 0 to 77"
    assert error.value.allowed == "0 to 9"


def test_images_and_labels_must_be_equally_many(config, tmp_path):
    write_mnist(tmp_path, test=20)
    write_mnist(tmp_path / "other", test=10)
    labels = "MNIST/raw/t10k-labels-idx1-ubyte"
    (tmp_path / labels).write_bytes((tmp_path / "other" / labels).read_bytes())
    with pytest.raises(DataError) as error:
        read_all(config("mnist", root=str(tmp_path)))
    assert error.value.given == "20 images but 10 labels"


def test_a_class_without_training_images_is_refused(config, tmp_path):
    write_mnist(tmp_path, train=9)
    with pytest.raises(DataError) as error:
        read_all(config("mnist", root=str(tmp_path)))
    assert error.value.given == "no training image of class 9 - nine"


def test_an_unknown_class_of_torchvision_is_refused(config):
    with pytest.raises(ConfigError, match="'SVNH'") as error:
        find(config("mnist", reader="SVNH"))
    assert "MNIST" in error.value.allowed


def test_the_class_of_torchvision_has_to_be_named(config, tmp_path):
    with pytest.raises(ConfigError, match="does not say which of its classes") as error:
        find(config("folder", source="torchvision", root=str(tmp_path)))
    assert error.value.given == "dataset.reader=null" and "CIFAR10" in error.value.allowed


# ------------------------------------------------------------------------------------------------------------- digits


def test_digits_are_scaled_and_cut_by_class(config):
    train, labels, test, test_labels, names, channels = read_all(config("digits"))
    assert (len(train), len(test), channels) == (1438, 359, 1)
    assert names == tuple("0123456789")
    original = load_digits()
    counts = np.bincount(original.target)
    assert np.all(np.abs(np.bincount(test_labels) - 0.2 * counts) <= 1)
    assert np.array_equal(np.bincount(labels) + np.bincount(test_labels), counts)
    scaled = np.rint(original.images * 255 / 16).astype(np.uint8)
    everything = {image.tobytes() for image in scaled}
    assert {image.tobytes() for image in [*train, *test]} == everything
    assert (np.max(train), np.min(train)) == (255, 0)


def test_only_digits_come_with_scikit_learn(config):
    with pytest.raises(ConfigError, match="does not come with scikit-learn"):
        find(config("mnist", source="sklearn"))


# ------------------------------------------------------------------------------------------------------ class folders


def test_a_folder_with_train_and_test(config, tmp_path):
    write_classes(tmp_path, {"train/dog": 4, "train/cat": 3, "test/cat": 2, "test/dog": 1})
    train, labels, test, test_labels, names, channels = read_all(config("folder", root=str(tmp_path)))
    assert names == ("cat", "dog")
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert test_labels.tolist() == [0, 0, 1]
    assert channels == 3
    assert np.array_equal(train[1], np.array(Image.open(tmp_path / "train/cat/0001.png")))
    assert np.array_equal(test[2], np.array(Image.open(tmp_path / "test/dog/0000.png")))


def test_a_folder_without_train_has_a_stratified_test_part_cut_off(config, tmp_path):
    write_classes(tmp_path, {"a": 20, "b": 10, "c": 5})
    train, labels, test, test_labels, _, _ = read_all(config("folder", root=str(tmp_path)))
    assert np.bincount(test_labels).tolist() == [4, 2, 1]
    assert np.bincount(labels).tolist() == [16, 8, 4]
    assert len({image.tobytes() for image in [*train, *test]}) == 35
    assert np.array_equal(read_all(config("folder", root=str(tmp_path)))[2], test)  # the same part every time


def test_a_class_may_be_called_train(config, tmp_path):
    write_classes(tmp_path, {"plane": 5, "train": 5})
    assert read_all(config("folder", root=str(tmp_path)))[4] == ("plane", "train")


def test_all_image_suffixes_are_read_and_other_files_are_not(config, tmp_path):
    write_classes(tmp_path, {"a": 5, "b": 5})
    for name in ("x.JPG", "y.jpeg", "z.PNG", "u.webp", "v.BMP", "w.tiff", "t.gif"):
        write_image(tmp_path / "a" / name, noise(3, 12, 12, 3))
    (tmp_path / "a" / "a webp.jpg").write_bytes((tmp_path / "a" / "u.webp").read_bytes())  # the content decides
    (tmp_path / "a" / "._x.jpg").write_bytes(b"left by a file manager")
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    raw = read(config("folder", root=str(tmp_path)), find(config("folder", root=str(tmp_path))))
    assert np.bincount(np.concatenate([raw.train.labels, raw.test.labels])).tolist() == [13, 5]


def test_what_is_left_out_is_named(config, tmp_path):
    """In every folder that is looked into: an image that is missed there is missed without a word."""
    write_classes(tmp_path, {"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1, "train/a/older": 2, "valid/a": 1})
    for name in ("loose.png", "train/loose.jpg"):
        write_image(tmp_path / name, noise(3, 12, 12, 3))
    for name in ("README", "train/a/x.heic", "train/a/.hidden.png", "test/b/labels.txt"):
        (tmp_path / name).write_bytes(b"")
    inventory = find(config("folder", root=str(tmp_path)))
    assert len(inventory.files) == 4
    folders = {"train/a/older/", "valid/"}
    images = {"loose.png", "train/loose.jpg", "train/a/.hidden.png"}
    assert {*inventory.left_out} == {*folders, *images, "README", "train/a/x.heic", "test/b/labels.txt"}
    before = inventory.fingerprint()
    (tmp_path / "notes.txt").write_text("")
    assert find(config("folder", root=str(tmp_path))).fingerprint() == before, "what is not read changes nothing"


def test_a_class_folder_without_images_says_what_is_there(config, tmp_path):
    write_classes(tmp_path, {"a": 3})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "photo.heic").write_bytes(b"")
    with pytest.raises(DataError, match="has no images") as error:
        find(config("folder", root=str(tmp_path)))
    assert error.value.given == "1 .heic (b/photo.heic)"


def test_what_lies_beside_the_faces_is_named(config, tmp_path):
    write_faces(tmp_path, [10, 30, 50, 70, 90])
    (tmp_path / "more").mkdir()
    (tmp_path / "list.csv").write_text("")
    assert find(config("utkface", root=str(tmp_path))).left_out == ("list.csv", "more/")


@pytest.mark.parametrize(("modes", "channels"), [(["L", "LA", "1"], 1), (["L", "RGB"], 3), (["P", "RGBA"], 3)])
def test_images_are_grey_only_where_all_files_are(config, tmp_path, modes, channels):
    write_classes(tmp_path, {"a": 2, "b": 2}, size=8)
    for folder in ("a", "b"):
        for index in range(2):
            number = 2 * (folder == "b") + index
            mode = modes[number % len(modes)]
            write_image(tmp_path / folder / f"{index:04d}.png", noise(number, 8, 8, 3), mode)
    train, _, test, _, _, found = read_all(config("folder", root=str(tmp_path), test_ratio=0.5))
    assert found == channels
    assert {image.ndim for image in [*train, *test]} <= ({2} if channels == 1 else {2, 3})


def test_dataset_cifar10_reads_a_folder_as_well(config, tmp_path):
    counts = {f"{part}/c{index}": 1 for part in ("train", "test") for index in range(10)}
    write_classes(tmp_path, counts)
    assert len(read_all(config("cifar10", source="folder", root=str(tmp_path)))[0]) == 10


UNFIT = {  # images per folder, and what the error must say
    "no folder": ({}, "there is no folder"),
    "empty": ({"": 0}, "too few class folders"),
    "one class": ({"a": 3}, "too few class folders"),
    "a class without images": ({"a": 3, "b": 0}, "class folder .*b has no images"),
    "no test": ({"train/a": 3, "train/b": 3}, "none called test"),
    "other classes in test": ({"train/a": 1, "train/b": 1, "test/a": 1, "test/c": 1}, "different classes"),
    "a test class without images": ({"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 0}, "test/b has no images"),
    "images that lie loose": ({"": 5}, "too few class folders"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_unfit_folders_are_refused(config, tmp_path, case):
    counts, message = UNFIT[case]
    root = tmp_path / "images"
    for folder in counts:
        (root / folder).mkdir(parents=True, exist_ok=True)
    write_classes(root, counts) if counts else None
    with pytest.raises(DataError, match=message) as error:
        find(config("folder", root=str(root)))
    assert str(root) in str(error.value)
    assert error.value.remedy


def test_a_folder_must_be_named(config):
    with pytest.raises(ConfigError, match=r"dataset\.root is not given") as error:
        find(config("folder"))
    assert error.value.remedy == "give dataset.root=DIR"


def test_a_folder_without_test_part_needs_a_ratio(config, tmp_path):
    write_classes(tmp_path, {"a": 5, "b": 5})
    with pytest.raises(ConfigError, match="no test part") as error:
        find(config("cifar10", source="folder", root=str(tmp_path)))
    assert "dataset.test_ratio=0.2" in error.value.remedy


def test_a_dangling_link_is_an_error_and_not_one_image_fewer(config, tmp_path):
    write_classes(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "a" / "0099.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"0099\.png"):
        find(config("folder", root=str(tmp_path)))


# ------------------------------------------------------------------------------------------------------ damaged files


@pytest.fixture(params=["JPEG", "PNG", "WEBP", "GIF"])
def encoded(request, tmp_path):
    """(path to write to, the bytes of a good image that lies on its side, its pixels)"""
    buffer = io.BytesIO()
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    Image.fromarray(noise(5, 24, 20, 3)).save(buffer, request.param, exif=tags)
    path = tmp_path / "image"
    path.write_bytes(buffer.getvalue())
    return path, buffer.getvalue(), decode(path)


@pytest.mark.parametrize("permissive", [False, True])
def test_a_cut_image_is_refused_or_whole(encoded, monkeypatch, permissive):
    """At every length: never an image with missing pixels, even where another library has told PIL to accept them."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", permissive)
    path, data, pixels = encoded
    for length in [*range(0, len(data) - 40, 17), *range(len(data) - 40, len(data))]:
        path.write_bytes(data[:length])
        try:
            assert np.array_equal(decode(path), pixels), length
            assert length > 0.98 * len(data)  # only a png's end mark may be gone
        except DataError as error:
            assert str(path) in str(error)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is permissive


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5))
@pytest.mark.filterwarnings("ignore")
def test_altered_bytes_never_end_in_a_foreign_error(encoded, changes):
    path, data, _ = encoded
    altered = bytearray(data)
    for position, value in changes:
        altered[position % min(len(data), 300)] = value
    path.write_bytes(altered)
    try:
        assert decode(path).dtype == np.uint8
    except DataError as error:
        assert str(path) in str(error)


def test_sixteen_bit_images_are_refused(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(path)
    with pytest.raises(DataError, match=r"deep\.png cannot be decoded") as error:
        decode(path)
    assert "8 bits" in error.value.given


def test_a_damaged_image_in_a_folder_is_named(config, tmp_path):
    write_classes(tmp_path, {"a": 5, "b": 5}, suffix=".jpg")
    broken = tmp_path / "b" / "0003.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DataError, match=r"b/0003\.jpg cannot be decoded"):
        read_all(config("folder", root=str(tmp_path)))


# ----------------------------------------------------------------------------------- odd files in an ordinary folder

COLOUR = (200, 120, 40)
COPPER = Image.new("RGB", (24, 16), COLOUR)
GREY = round(0.299 * 200 + 0.587 * 120 + 0.114 * 40)


def on_its_side(path):
    """Left half in our colour, right half black, stored upright: a viewer shows the colour at the top."""
    image = Image.new("RGB", (24, 16))
    image.paste(COLOUR, (0, 0, 12, 16))
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    image.save(path, exif=tags, quality=100, subsampling=0)


def see_through_palette(path):
    image = Image.new("P", (24, 16), 1)
    image.putpalette([9, 9, 9, *COLOUR])
    image.putpixel((23, 15), 0)
    image.save(path, transparency=0)


def animated(path):
    COPPER.save(path, save_all=True, append_images=[Image.new("RGB", (24, 16), level) for level in ("red", "blue")])


def linked(path):
    COPPER.save(path.parents[2] / "elsewhere.png")
    path.symlink_to(path.parents[2] / "elsewhere.png")


def cut(path):
    Image.fromarray(noise(1, 40, 40, 3)).save(path)
    path.write_bytes(path.read_bytes()[:-300])


READ = {  # name of the file -> how it is made, colour at its upper left
    "grey.jpg": (lambda path: COPPER.convert("L").save(path, quality=100), (GREY,) * 3),
    "cmyk.jpg": (lambda path: COPPER.convert("CMYK").save(path, quality=100), COLOUR),
    "cmyk.tif": (lambda path: COPPER.convert("CMYK").save(path), COLOUR),
    "bits.png": (lambda path: Image.new("1", (24, 16), 1).save(path), (255,) * 3),
    "palette.gif": (lambda path: COPPER.quantize(4).save(path), COLOUR),
    "see-through.png": (see_through_palette, COLOUR),
    "animated.gif": (animated, COLOUR),
    "animated.webp": (animated, COLOUR),
    "on-its-side.jpg": (on_its_side, COLOUR),
    "UPPER.JPG": (lambda path: COPPER.save(path, quality=100), COLOUR),
    "two.dots.Png": (COPPER.save, COLOUR),
    "a png.jpg": (lambda path: COPPER.save(path, "PNG"), COLOUR),
    "Zoë 東京 🙂.png": (COPPER.save, COLOUR),
    "with\ttab and 'quotes'.png": (COPPER.save, COLOUR),
    "link.png": (linked, COLOUR),
}
REFUSED = {
    "page.jpg": lambda path: path.write_text("<!DOCTYPE html><title>404 Not Found</title>"),
    "nothing.png": lambda path: path.write_bytes(b""),
    "cut.jpg": cut,
    "cut.png": cut,
    "zeros.jpg": lambda path: path.write_bytes(bytes(1000)),
    "deep.png": lambda path: Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(path),
    "float.tiff": lambda path: Image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)).save(path),
}
LEFT_OUT = {  # path in the folder of a class
    ".DS_Store": lambda path: path.write_bytes(b"\0\0\0\1Bud1"),
    "._photo.jpg": lambda path: path.write_bytes(b"\0\5\x16\7"),
    "Thumbs.db": lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0"),
    "desktop.ini": lambda path: path.write_text("[.ShellClassInfo]"),
    "movie.mp4": lambda path: path.write_bytes(b"ftyp"),
    "notes": lambda path: path.write_text("no ending"),
}


@pytest.fixture
def odd_folder(config, tmp_path):
    """(class folder to put a file into, the configuration)"""
    write_classes(tmp_path / "images", {"a": 5, "b": 5})
    return tmp_path / "images/a", config("folder", root=str(tmp_path / "images"))


@pytest.mark.parametrize("name", READ)
def test_odd_images_are_read_rightly(odd_folder, name):
    folder, config = odd_folder
    write, colour = READ[name]
    write(folder / name)
    raw = read(config, find(config))
    found = {path: image for part in (raw.train, raw.test) for path, image in zip(part.names, part.images, strict=True)}
    assert len(found) == 11 and find(config).left_out == ()
    image = found[f"a/{name}"]
    pixel = np.broadcast_to(image[1, 1], 3).astype(int)
    assert np.abs(pixel - colour).max() <= 2
    if name == "on-its-side.jpg":
        assert image.shape == (24, 16, 3) and image[1, -2].max() > 100 and image[-2, 1].max() < 50


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_whole_image_is_refused_by_name(odd_folder, name, tmp_path, progress):
    folder, config = odd_folder
    REFUSED[name](folder / name)
    with pytest.raises(DataError) as error:
        load(config, tmp_path / "cache", progress)
    assert f"a/{name} cannot be decoded" in str(error.value)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_files_of_systems_and_other_kinds_are_left_out_by_name(odd_folder, name):
    folder, config = odd_folder
    LEFT_OUT[name](folder / name)
    inventory = find(config)
    assert inventory.left_out == (f"a/{name}",) and len(inventory.files) == 10


@pytest.mark.parametrize("own_test", [False, True])
def test_folders_of_systems_are_no_classes(config, tmp_path, own_test):
    """An archive that macOS packed unpacks with a second tree, of files that look like images and are none."""
    counts = {"a": 5, "b": 5}
    write_classes(
        tmp_path, {f"{part}/{name}": 2 for part in ("train", "test") for name in "ab"} if own_test else counts
    )
    for name in ("__MACOSX", "a/@eaDir", "$RECYCLE.BIN", "lost+found", ".Trash-1000"):
        folder = tmp_path / "train" / name if own_test else tmp_path / name
        folder.mkdir(parents=True)
        (folder / "photo.jpg").write_bytes(b"\0\5\x16\7")
    inventory = find(config("folder", root=str(tmp_path)))
    assert len(inventory.files) == (8 if own_test else 10)
    assert len(inventory.left_out) == 5 and any("__MACOSX/" in path for path in inventory.left_out)
    assert "4 folders of a system" in counted(inventory.left_out)


def test_a_class_folder_may_be_a_link_and_links_in_a_circle_are_left_out(config, tmp_path):
    write_classes(tmp_path, {"store/a": 5, "images/b": 5})
    (tmp_path / "images/a").symlink_to(tmp_path / "store/a")
    (tmp_path / "images/b/again").symlink_to(tmp_path / "images")
    inventory = find(config("folder", root=str(tmp_path / "images")))
    assert len(inventory.files) == 10 and inventory.left_out == ("b/again/",)


def test_names_that_are_no_text_are_read_and_kept(odd_folder, tmp_path, progress):
    """Linux takes any bytes as names; those of an old archive are in no encoding of ours."""
    folder, config = odd_folder
    name = b"caf\xe9.png"
    COPPER.save(tmp_path / "plain.png")
    try:
        (tmp_path / "plain.png").rename(Path(os.fsdecode(os.fsencode(folder) + b"/" + name)))
    except OSError:
        pytest.skip("this file system has texts as names")
    data = load(config, tmp_path / "cache", progress)
    names = [*data.attributes.train_names, *data.attributes.test_names]
    assert f"a/{os.fsdecode(name)}" in names


def test_a_class_whose_name_is_no_text_is_refused(config, tmp_path):
    write_classes(tmp_path, {"a": 5, "b": 5})
    try:
        (tmp_path / "b").rename(tmp_path / os.fsdecode(b"L\xf6we"))
    except OSError:
        pytest.skip("this file system has texts as names")
    with pytest.raises(DataError, match=r"names of class folders in .* are not UTF-8") as error:
        find(config("folder", root=str(tmp_path)))
    assert error.value.given == repr(b"L\xf6we") and "rename" in error.value.remedy


# ------------------------------------------------------------------------------------------------------------ UTKFace


def write_faces(root, ages):
    for number, age in enumerate(ages):
        write_image(root / f"{age}_0_{number % 5}_2017{number:013d}.jpg.chip.jpg", noise(number, 20, 20, 3))


def test_faces_are_labelled_by_age_group_and_sorted_by_name(config, tmp_path):
    ages = [1, 19, 20, 39, 40, 59, 60, 79, 80, 116] * 5
    write_faces(tmp_path, ages)
    inventory = find(config("utkface", root=str(tmp_path)))
    names = [file.path for file in inventory.files]
    assert names == sorted(names)
    _, labels, test, test_labels, groups, channels = read_all(config("utkface", root=str(tmp_path)))
    assert (len(labels), len(test), channels) == (40, 10, 3)
    assert len(groups) == 5
    permutation = np.random.RandomState(123).permutation(50)
    assert test_labels.tolist() == [age_group(names[index]) for index in sorted(permutation[:10])]
    chosen = sorted(permutation[:10])[0]
    assert np.array_equal(test[0], np.array(Image.open(tmp_path / names[chosen])))


@pytest.mark.parametrize(("age", "group"), [(0, 0), (19, 0), (20, 1), (39, 1), (40, 2), (79, 3), (80, 4), (116, 4)])
def test_age_groups(age, group):
    assert age_group(f"{age}_1_2_20170109150557335.jpg.chip.jpg") == group


def test_the_official_names_that_lack_the_race_are_read():
    assert age_group("61_1_20170109142408075.jpg.chip.jpg") == 3


def test_names_of_faces_tell_age_gender_and_ethnicity(config, tmp_path):
    names = [
        "5_1_0_20170109142408075.jpg.chip.jpg",
        "61_1_20170109142408075.jpg.chip.jpg",
        "30_0_4_1.jpg",
        "40_3_2_1.jpg",
    ]
    for number, name in enumerate([*names, *(f"{age}_0_1_{age}.jpg" for age in (1, 20, 41, 62, 80, 99))]):
        write_image(tmp_path / name, noise(number, 20, 20, 3))
    raw = read(config("utkface", root=str(tmp_path)), find(config("utkface", root=str(tmp_path))))
    attributes = raw.attributes
    known = {}
    for columns, names in ((attributes.train, attributes.train_names), (attributes.test, attributes.test_names)):
        rows = zip(columns["age"].tolist(), columns["gender"].tolist(), columns["ethnicity"].tolist(), strict=True)
        known.update(zip(names, rows, strict=True))
    assert known["5_1_0_20170109142408075.jpg.chip.jpg"] == (5, "female", "White")
    assert known["61_1_20170109142408075.jpg.chip.jpg"] == (61, "female", ""), "one of three that lack it"
    assert known["30_0_4_1.jpg"] == (30, "male", "other")
    assert known["40_3_2_1.jpg"] == (40, "", "Asian")
    assert len(known) == 10


@pytest.mark.parametrize("name", ["face.jpg", "_1_2_3.jpg", "x20_1_2_3.jpg", "200_1_2_3.jpg", "-5_1_2_3.jpg"])
def test_a_name_that_does_not_parse_is_refused(config, tmp_path, name):
    write_faces(tmp_path, [10, 30, 50, 70, 90])
    write_image(tmp_path / name, noise(0, 20, 20, 3))
    with pytest.raises(DataError, match="does not start with an age") as error:
        find(config("utkface", root=str(tmp_path)))
    assert error.value.given == name


@pytest.mark.parametrize("exists", [True, False])
def test_missing_faces_say_where_to_get_them(config, tmp_path, exists):
    root = tmp_path if exists else tmp_path / "none"
    with pytest.raises(MissingData, match="utkface is not there") as error:
        find(config("utkface", root=str(root)))
    assert str(root) in error.value.remedy and "dataset.root=DIR" in error.value.remedy


# ----------------------------------------------------------------------------------------------------------- resizing


def test_resizing_down_antialiases():
    stripes = np.zeros((64, 64), dtype=np.uint8)
    stripes[:, ::2] = 200
    inner = resized(stripes, 32, 1)[0, :, 1:-1]
    assert np.all(np.abs(inner.astype(int) - 100) <= 1)  # without it, columns of 0 or 200 would be picked


def test_resizing_treats_channels_alike_and_leaves_the_right_size_alone():
    image = noise(1, 20, 30, 3)
    small = resized(image, 16, 3)
    assert small.shape == (3, 16, 16)
    for channel in range(3):
        assert np.array_equal(small[channel], resized(image[..., channel], 16, 1)[0])
    assert np.array_equal(resized(image[:20, :20], 20, 3), image[:20, :20].transpose(2, 0, 1))
    grey = resized(image[..., 0], 16, 3)
    assert np.array_equal(grey[0], grey[2])
