"""Readers: images and labels of each source in its own file format, and refusals that name file and remedy."""

from __future__ import annotations

import io
from urllib.error import URLError

import numpy as np
import pytest
import torchvision.datasets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile
from sklearn.datasets import load_digits

from deepunlearn.core.errors import ConfigError, DataError, MissingData
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.decoded import digest_of
from deepunlearn.data.folders import age_group
from deepunlearn.data.images import decode, resized
from deepunlearn.data.sources import find, read
from deepunlearn.data.sources.torchvision import SETS
from tests.data.small_data import noise, read_all, write_classes, write_image, write_mnist

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


def test_what_lies_beside_the_faces_is_named(config, tmp_path):
    write_faces(tmp_path, [10, 30, 50, 70, 90])
    (tmp_path / "more").mkdir()
    (tmp_path / "list.csv").write_text("")
    assert find(config("utkface", root=str(tmp_path))).left_out == ("list.csv", "more/")


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


# ----------------------------------------------------------------------------------------------------------- plug-ins

TABLE = """
from pyarrow import csv
from deepunlearn.data.inventory import inventory_of
from deepunlearn.data.tables import table_data

READS = "tables"


def find(config):
    return inventory_of(config, "flowers.csv")


def read(config, inventory):
    return table_data(config, csv.read_csv(inventory.root / "flowers.csv"), "kind")
"""


@pytest.fixture
def flowers(tmp_path):
    """A table as a plug-in reads it, with changes to its options."""
    code = tmp_path / "flowers.py"
    code.write_text(TABLE)
    rows = "".join(f"{row},{row % 3},{'ab'[row % 2]}\n" for row in range(20))
    (tmp_path / "flowers.csv").write_text(f"length,garden,kind\n{rows}")
    own = {"name": "flowers", "title": "", "source": "flowers", "module": str(code), "image_size": None}
    return lambda **changes: DatasetConfig(**own, root=str(tmp_path), **{"test_ratio": 0.2, **changes})


def test_other_options_of_a_plug_in_are_other_data(flowers, tmp_path, progress):
    first = digest_of(flowers(), tmp_path / "cache", progress)
    again = digest_of(flowers(ignore=("garden",)), tmp_path / "cache", progress)
    assert (first.features, again.features) == (("length", "garden"), ("length",))
    assert first.digest != again.digest
    options = ({}, {"test_ratio": 0.4}, {"target": "garden"}, {"missing": "drop"}, {"categories": ("garden",)})
    assert len({find(flowers(**one)).fingerprint() for one in options}) == len(options)
    assert find(flowers(limit=10)).fingerprint() == find(flowers()).fingerprint(), (
        "what comes after reading is not read"
    )


def test_a_table_of_a_plug_in_without_a_test_part_is_told_what_it_can_give(flowers):
    with pytest.raises(ConfigError, match="no test part") as error:
        read(flowers(test_ratio=None), find(flowers(test_ratio=None)))
    assert error.value.remedy == "give dataset.test_ratio=0.2"
