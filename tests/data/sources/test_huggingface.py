"""Hugging Face datasets, saved by their own library: columns by type or name, parts, attributes, and refusals."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import ExifTags, Image

from deepunlearn.core.errors import ConfigError, DataError, MissingData
from deepunlearn.data.decoded import load
from deepunlearn.data.sources import find, read
from tests.data.small_data import noise

CLASSES = ["cat", "dog", "owl"]


def table(count: int, seed: int = 0, classes: list[str] | None = None, **columns: list) -> datasets.Dataset:
    """`count` colour images of different sizes, labels in turn."""
    images = [Image.fromarray(noise(seed + row, 10 + row % 3, 12, 3)) for row in range(count)]
    made = datasets.Dataset.from_dict({"picture": images, "animal": [row % 3 for row in range(count)], **columns})
    labels = datasets.ClassLabel(names=classes or CLASSES)
    return made.cast_column("picture", datasets.Image()).cast_column("animal", labels)


@pytest.fixture
def saved(config, tmp_path):
    """saved(dataset or parts by name): the configuration that reads the folder that `datasets` saved."""

    def save(made, **changes):
        parts = datasets.DatasetDict(made) if isinstance(made, dict) else made
        parts.save_to_disk(str(tmp_path / "saved"))
        return config("huggingface", path=str(tmp_path / "saved"), **changes)

    return save


def raw(config):
    return read(config, find(config))


def test_images_and_classes_are_found_by_their_types(saved):
    data = raw(saved({"train": table(9), "test": table(6, seed=50)}))
    assert data.class_names == tuple(CLASSES) and data.channels == 3
    assert data.train.labels.tolist() == [0, 1, 2] * 3 and data.test.labels.tolist() == [0, 1, 2] * 2
    for part, seed in ((data.train, 0), (data.test, 50)):
        for row, image in enumerate(part.images):
            assert np.array_equal(image, noise(seed + row, 10 + row % 3, 12, 3))


def test_they_are_decoded_once_like_image_files(saved, tmp_path, progress):
    """Upright, on the background, grey where all are: what is done to files is done to these."""
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    encoded = io.BytesIO()
    Image.fromarray(noise(1, 8, 16, 3)).save(encoded, "PNG", exif=tags)
    made = table(6)
    rows = [{"bytes": encoded.getvalue(), "path": f"{number}.png"} for number in range(6)]
    made = made.remove_columns("picture").add_column("picture", rows).cast_column("picture", datasets.Image())
    config = saved({"train": made, "test": made})
    data = load(config, tmp_path / "cache", progress)
    assert data.train_images.shape == (6, 3, 32, 32) and data.attributes.train_names.tolist()[:2] == ["0.png", "1.png"]
    assert next(iter(raw(config).train.images)).shape == (16, 8, 3)


def test_grey_images_stay_grey(saved):
    grey = table(6).map(lambda row: {"picture": row["picture"].convert("L")})
    assert raw(saved({"train": grey, "test": grey})).channels == 1


@pytest.mark.parametrize("names", [["train", "validation"], ["train", "valid"], ["train", "test", "validation"]])
def test_the_part_that_tests_is_test_or_else_validation(saved, names):
    config = saved({name: table(6 if name == "test" else 9) for name in names})
    assert len(raw(config).test.labels) == (6 if "test" in names else 9)


def test_parts_may_be_named(saved):
    config = saved({"small": table(6), "large": table(12), "test": table(3)}, train_part="large", test_part="small")
    data = raw(config)
    assert (len(data.train.labels), len(data.test.labels)) == (12, 6)
    with pytest.raises(ConfigError, match="'huge'") as error:
        find(config.model_copy(update={"train_part": "huge"}))
    assert "large, small, test" in error.value.allowed


@pytest.mark.parametrize("made", [lambda: table(30), lambda: {"train": table(30)}, lambda: {"all": table(30)}])
def test_of_one_part_a_share_is_cut_off_by_class(saved, made):
    config = saved(made())
    data = raw(config)
    assert np.bincount(data.test.labels).tolist() == [2, 2, 2] and len(data.train.labels) == 24
    images = [image.tobytes() for part in (data.train, data.test) for image in part.images]
    assert len(set(images)) == 30
    with pytest.raises(ConfigError, match="no test part"):
        find(config.model_copy(update={"test_ratio": None}))


def test_columns_may_be_named(saved):
    more = table(9, seed=9)["picture"]
    made = table(9, site=["x", "y", "z"] * 3, year=[2019, 2020, 2021] * 3, thumbnail=more)
    made = made.cast_column("thumbnail", datasets.Image())
    config = saved({"train": made, "test": made}, image="thumbnail", target="site")
    data = raw(config)
    assert data.class_names == ("x", "y", "z") and data.train.labels.tolist() == [0, 1, 2] * 3
    assert np.array_equal(next(iter(data.train.images)), noise(9, 10, 12, 3))
    years = raw(config.model_copy(update={"target": "year"}))
    assert years.class_names == ("2019", "2020", "2021")
    with pytest.raises(ConfigError, match="2 columns of images") as error:
        find_and_read(config.model_copy(update={"image": None}))
    assert error.value.remedy == "give dataset.image=COLUMN" and "thumbnail (Image)" in error.value.given


def find_and_read(config):
    return read(config, find(config))


def test_other_columns_are_attributes(saved):
    other = {"age": [1, 2, None] * 2, "who": ["a", None, "c"] * 2, "seen": [True, False, True] * 2, "more": [[1]] * 6}
    made = table(6, **other, kind=[0, 1, -1] * 2).cast_column("kind", datasets.ClassLabel(names=["wild", "tame"]))
    attributes = raw(saved({"train": made, "test": made}, target="animal")).attributes
    assert [*attributes.train] == ["age", "who", "seen", "kind"], "of plain values: no images, no lists, not the label"
    assert attributes.train["age"][:2].tolist() == [1, 2] and np.isnan(attributes.train["age"][2])
    assert attributes.train["who"].tolist() == ["a", "", "c"] * 2
    assert attributes.train["seen"].tolist() == [1, 0, 1] * 2
    assert attributes.test["kind"].tolist() == ["wild", "tame", ""] * 2


def test_numbers_that_would_be_rounded_are_texts(saved):
    numbers = [2**53, 2**53 + 1, None] * 2
    made, whole = (table(6, who=who, weight=[1e30, 2e30, None] * 2) for who in (numbers, numbers[:2] * 3))
    attributes = raw(saved({"train": made, "test": whole})).attributes
    assert attributes.train["who"].tolist() == [str(one or "") for one in numbers]
    assert attributes.test["who"].tolist() == [str(one) for one in numbers[:2] * 3]
    assert attributes.train["weight"].dtype == np.float64


def test_attributes_of_a_cut_off_part_stay_with_their_images(saved):
    attributes = raw(saved(table(30, own=list(range(30))))).attributes
    own = np.concatenate([attributes.train["own"], attributes.test["own"]])
    assert sorted(own.tolist()) == list(range(30)) and len(attributes.test["own"]) == 6


def test_names_that_repeat_are_none(saved):
    rows = [{"bytes": _png(number), "path": "0.png"} for number in range(6)]
    made = table(6).remove_columns("picture").add_column("picture", rows).cast_column("picture", datasets.Image())
    assert raw(saved({"train": made, "test": made})).train.names is None


def _png(seed: int) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(noise(seed, 8, 8, 3)).save(encoded, "PNG")
    return encoded.getvalue()


# ------------------------------------------------------------------------------------------------------------ refusals


def test_a_test_part_without_labels_says_which_to_take(saved):
    hidden = table(6).map(lambda _: {"animal": -1})
    config = saved({"train": table(9), "validation": table(6), "test": hidden})
    with pytest.raises(DataError, match="part test of dataset huggingface has images without a label") as error:
        find_and_read(config)
    assert error.value.given == "6 of 6 labels in column animal are missing or -1"
    assert "dataset.test_part=validation" in error.value.remedy
    assert len(find_and_read(config.model_copy(update={"test_part": "validation"})).test.labels) == 6


@pytest.mark.parametrize("option", ["train_part", "test_part"])
def test_one_part_alone_has_no_name_to_ask_for(saved, option):
    with pytest.raises(ConfigError, match="is one part, saved without a name") as error:
        find(saved(table(30), **{option: "validation"}))
    assert error.value.given == f"dataset.{option}=validation" and "DatasetDict" in error.value.remedy


def test_classes_that_were_filtered_out_are_named_with_a_way_out(saved, tmp_path):
    left = table(30).filter(lambda row: row["animal"] < 2)
    config = saved(left)
    with pytest.raises(DataError, match="names of classes without images") as error:
        raw(config)
    assert error.value.given == "no training image of class owl"
    _, _, remedy = error.value.remedy.partition(": ")
    eval(remedy, {"DATA": left, "datasets": datasets, "DIR": str(tmp_path / "again")})
    data = raw(config.model_copy(update={"path": str(tmp_path / "again")}))
    assert data.class_names == ("0", "1") and len(data.train.labels) == 16


def test_labels_that_are_missing_are_counted(saved):
    made = table(9, site=["x", "y", None] * 3)
    with pytest.raises(DataError) as error:
        find_and_read(saved({"train": made, "test": made}, target="site"))
    assert error.value.given == "3 of 9 labels in column site are missing or -1"


def test_a_set_without_classes_lists_its_columns(saved):
    made = table(6, caption=["a"] * 6).remove_columns("animal")
    with pytest.raises(ConfigError, match="no columns of classes") as error:
        find_and_read(saved({"train": made, "test": made}))
    assert "caption (Value)" in error.value.given and error.value.remedy == "give dataset.target=COLUMN"


def test_a_set_without_images_is_refused(saved):
    made = table(6).remove_columns("picture")
    with pytest.raises(ConfigError, match="no columns of images") as error:
        find_and_read(saved({"train": made, "test": made}))
    assert "Image" in error.value.allowed


@pytest.mark.parametrize(("option", "given"), [("image", "animal"), ("image", "pictur"), ("target", "anima")])
def test_a_column_that_will_not_do_is_refused(saved, option, given):
    with pytest.raises((ConfigError, DataError)) as error:
        find_and_read(saved({"train": table(6), "test": table(6)}, **{option: given}))
    assert given in str(error.value)


def test_parts_with_other_classes_are_refused(saved, tmp_path):
    """`datasets` saves no such parts together; somebody may put them together by hand."""
    config = saved({"train": table(6), "test": table(6)})
    shutil.rmtree(tmp_path / "saved/test")
    table(6, classes=["dog", "cat", "owl"]).save_to_disk(str(tmp_path / "saved/test"))
    with pytest.raises(DataError) as error:
        find_and_read(config)
    assert error.value.allowed == "the same columns in both parts" and "dataset.path=DIR" in error.value.remedy


def test_an_image_that_is_damaged_or_missing_is_named(saved):
    rows = [{"bytes": _png(number), "path": f"{number}.png"} for number in range(6)]
    rows[4] = {"bytes": _png(4)[:60], "path": "4.png"}
    made = table(6).remove_columns("picture").add_column("picture", rows).cast_column("picture", datasets.Image())
    data = raw(saved({"train": made, "test": made}))
    with pytest.raises(DataError, match=r"4\.png cannot be decoded"):
        list(data.train.images)


def test_a_row_without_an_image_is_named(saved):
    rows = [{"bytes": _png(number), "path": None} for number in range(5)] + [None]
    made = table(6).remove_columns("picture").add_column("picture", rows).cast_column("picture", datasets.Image())
    data = raw(saved({"train": made, "test": made}))
    with pytest.raises(DataError, match="image 5 of train cannot be decoded"):
        list(data.train.images)


def test_the_dataset_has_to_be_named(config):
    with pytest.raises(ConfigError, match=r"dataset\.path does not say which"):
        find(config("huggingface"))


def test_what_is_not_there_says_how_to_get_it(config, tmp_path):
    with pytest.raises(MissingData) as error:
        find(config("huggingface", path="nobody/nothing", root=str(tmp_path)))
    assert "dataset.download=true" in error.value.remedy and "nobody/nothing" in error.value.given


@pytest.mark.parametrize("damage", ["arrow", "state", "parts"])
def test_damaged_files_are_refused(saved, tmp_path, damage):
    config = saved({"train": table(6), "test": table(6)})
    folder = tmp_path / "saved"
    file = {
        "arrow": next((folder / "test").glob("*.arrow")),
        "state": folder / "test/state.json",
        "parts": folder / "dataset_dict.json",
    }[damage]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError) as error:
        data = find_and_read(config)
        list(data.test.images)
    assert str(folder) in str(error.value)


# ------------------------------------------------------------------------------------------------------------- the hub


def test_a_set_of_the_hub_is_saved_once(config, tmp_path, monkeypatch):
    calls = []

    def load_dataset(path, name):
        calls.append((path, name))
        return datasets.DatasetDict(train=table(9), test=table(6))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    wanted = config("huggingface", path="nobody/animals", subset="small", root=str(tmp_path), download=True)
    assert len(find_and_read(wanted).train.labels) == 9
    assert len(find_and_read(wanted.model_copy(update={"download": False})).train.labels) == 9
    assert calls == [("nobody/animals", "small")]
    assert json.loads((tmp_path / "huggingface/nobody/animals/small/dataset_dict.json").read_text())["splits"]


def test_a_failed_download_says_why_and_leaves_nothing(config, tmp_path, monkeypatch):
    def load_dataset(*_):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match="download of dataset huggingface") as error:
        find(config("huggingface", path="nobody/animals", root=str(tmp_path), download=True))
    assert error.value.given == "ConnectionError: no network"
    assert [path for path in Path(tmp_path).rglob("*") if path.is_file()] == []


def test_without_the_library_its_extra_is_named(saved, monkeypatch):
    config = saved({"train": table(6), "test": table(6)})
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match="not installed") as error:
        find_and_read(config)
    assert "deepunlearn[huggingface]" in error.value.remedy
