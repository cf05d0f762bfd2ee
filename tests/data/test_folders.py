"""Class folders: which images and classes are found, odd files in ordinary folders, and what is refused or left out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from deepunlearn.core.errors import ConfigError, DataError
from deepunlearn.data.decoded import load
from deepunlearn.data.endings import counted
from deepunlearn.data.sources import find, read
from tests.data.small_data import noise, read_all, write_classes, write_image


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
