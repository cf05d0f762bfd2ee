"""Every set that torchvision knows, read from generated files in its own format: image, way up, class."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest

from deepunlearn.core.errors import ConfigError, DataError, MissingData
from deepunlearn.data.sources import find, read
from deepunlearn.data.sources.torchvision import SETS
from tests.data.torchvision_sets import PAGE, WRITERS, level, row


@pytest.fixture
def written(config, tmp_path, monkeypatch):
    """written("DTD:7"): its files, and the configuration that reads them."""

    def write(case, **changes):
        writer = WRITERS[case]
        writer.write(tmp_path, monkeypatch)
        reader, _, subset = case.partition(":")
        options = {"reader": reader, "subset": subset or None, **writer.options, **changes}
        return config("torchvision", root=str(tmp_path), **options)

    return write


def test_every_set_has_its_generated_files():
    assert {case.partition(":")[0] for case in WRITERS} == set(SETS)


@pytest.mark.parametrize("case", [case for case in WRITERS if case != "CelebA"])
def test_images_are_of_their_class_and_the_right_way_up(written, case):
    config = written(case)
    raw, classes = read(config, find(config)), WRITERS[case].classes
    assert len(raw.class_names) == len(set(raw.class_names)) == classes
    if WRITERS[case].test_part:
        assert (len(raw.train.labels), len(raw.test.labels)) == (2 * classes, classes)
    else:
        assert Counter(raw.train.labels.tolist()) == Counter(raw.test.labels.tolist()) == {0: 1, 1: 1}
    for part in (raw.train, raw.test):
        assert part.labels.dtype == np.int64 and set(part.labels) == set(range(classes))
        count = 0
        for image, label in zip(part.images, part.labels, strict=True):
            grey = image.astype(float) if image.ndim == 2 else image.mean(axis=2)
            assert abs(grey[0, 0] - 250) < 2 and abs(grey[0, -1] - 5) < 2, "upper left is bright, upper right dark"
            assert abs(grey[-1, -1] - level(label)) < 2 and abs(grey[-1, 0] - level(label)) < 2
            assert image.dtype == np.uint8 and image.ndim == (3 if raw.channels == 3 else 2)
            count += 1
        assert count == len(part.labels)


@pytest.mark.slow
def test_the_table_of_the_docs_is_what_is_read():
    page = PAGE.read_text(encoding="utf-8")
    for case in WRITERS:
        assert row(case) in page, "run python -m tests.data.torchvision_sets"


FILES = [case for case in WRITERS if SETS[case.partition(":")[0]].folders]


@pytest.mark.parametrize("case", FILES)
def test_pictures_in_files_have_names_and_a_missing_one_is_named(written, tmp_path, case):
    config = written(case)
    raw = read(config, find(config))
    names = [*raw.train.names, *raw.test.names]
    below = tmp_path / "celeba/img_align_celeba" if case == "CelebA" else tmp_path
    assert all((below / name).is_file() for name in names) and len(set(names)) == len(names)
    if case.partition(":")[0] in {"EuroSAT", "Country211", "RenderedSST2", "SUN397"}:
        return  # what lies in the class folders is the set
    (below / raw.test.names[0]).unlink()
    if case == "GTSRB":
        assert raw.test.names[0].startswith("gtsrb/GTSRB/Final_Test")
    with pytest.raises(DataError) as error:
        read(config, find(config))
    assert raw.test.names[0] in str(error.value)


@pytest.mark.parametrize("case", WRITERS)
def test_what_is_missing_is_listed(written, tmp_path, case):
    config = written(case)
    inventory = find(config)
    assert inventory.files and inventory.fingerprint() == find(config).fingerprint()
    place = SETS[config.reader]
    gone = (*place.files, *place.folders)[0].format(subset=config.subset or next(iter(place.subsets), ""))
    (tmp_path / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(MissingData) as error:
        find(config)
    assert gone in error.value.given and gone in error.value.allowed


@pytest.mark.parametrize("case", [case for case in WRITERS if not SETS[case.partition(":")[0]].folders])
def test_a_cut_file_is_refused(written, tmp_path, case):
    """Whichever: half an array is no data set, and what is raised names folder and remedy."""
    config = written(case)
    for file in find(config).files:
        path = tmp_path / file.path
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError) as error:
            raw = read(config, find(config))
            list(raw.train.images), list(raw.test.images)
        assert error.value.remedy
        path.write_bytes(whole)


def test_a_subset_has_to_be_one_of_the_sets_own(written):
    with pytest.raises(ConfigError, match="subset of EMNIST") as error:
        find(written("EMNIST:letters", subset="leters"))
    assert error.value.remedy == "did you mean 'letters'?"


def test_a_number_names_a_subset(written):
    assert len(find(written("DTD:7", subset=7)).files) == 8


def test_only_some_sets_have_subsets(written):
    with pytest.raises(ConfigError, match="SVHN has no subsets") as error:
        find(written("SVHN", subset="extra"))
    assert "EMNIST" in error.value.remedy


def test_a_set_without_test_part_needs_a_share(written):
    config = written("EuroSAT", test_ratio=None)
    with pytest.raises(ConfigError, match="no test part"):
        read(config, find(config))


# ------------------------------------------------------------------------------------------ attributes of samples


def test_cifar100_has_its_superclasses(written):
    config = written("CIFAR100")
    attributes = read(config, find(config)).attributes
    assert attributes.train["coarse"][:3].tolist() == ["kind 0", "kind 1", "kind 2"]
    assert len(attributes.train["coarse"]) == 200 and attributes.test["coarse"][21] == "kind 1"


def test_qmnist_knows_who_wrote_each_digit(written):
    config = written("QMNIST")
    attributes = read(config, find(config)).attributes
    assert attributes.train["writer"][:4].tolist() == [2100, 2101, 2102, 2100]
    assert set(attributes.test["hsf"]) == {4}


# ------------------------------------------------------------------------------- nothing from disk is unpickled


class Planted:
    def __reduce__(self):
        return (print, ("called",))


def test_a_pickle_that_calls_functions_is_refused_though_its_checksum_is_known(written, tmp_path, monkeypatch):
    import hashlib

    import torchvision.datasets

    config = written("CIFAR10")
    reader = torchvision.datasets.CIFAR10
    content = pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [0], "more": Planted()})
    (tmp_path / reader.base_folder / "test_batch").write_bytes(content)
    monkeypatch.setattr(reader, "test_list", [["test_batch", hashlib.md5(content).hexdigest()]])
    with pytest.raises(DataError, match="damaged") as error:
        read(config, find(config))
    assert "print" in error.value.given and "only arrays" in error.value.given


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_pickle_protocol_are_read(tmp_path, protocol):
    from deepunlearn.data.torchvision_files import _Arrays

    value = {"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [1, 2], "name": "text"}
    path = tmp_path / "pickled"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    with path.open("rb") as file:
        loaded = _Arrays(file, encoding="latin1").load()
    assert np.array_equal(loaded["data"], value["data"]) and loaded["labels"] == [1, 2]


def test_an_old_pt_file_beside_mnist_is_not_read(written, tmp_path, monkeypatch):
    """torchvision would load processed/*.pt instead of the files that our inventory has."""
    config = written("MNIST")
    (tmp_path / "MNIST/processed").mkdir()
    for name in ("training.pt", "test.pt"):
        (tmp_path / "MNIST/processed" / name).write_bytes(b"not to be looked at")
    monkeypatch.setattr("torch.load", lambda *_, **__: pytest.fail("unpickled"))
    assert len(read(config, find(config)).train.labels) == 20
