"""What every dataset must keep; its files have to be there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepunlearn.core.errors import DataError
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.images import RawData, RawPart, resized
from deepunlearn.data.sources import find, read
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.random import RandomForget


def raw(dataset: DatasetConfig) -> RawData:
    return read(dataset, find(dataset))


def test_its_files_are_found_the_same_twice(dataset: DatasetConfig) -> None:
    assert find(dataset).fingerprint() == find(dataset).fingerprint()


def test_files_that_are_missing_are_an_error_that_says_so(dataset: DatasetConfig, tmp_path: Path) -> None:
    if not find(dataset).files:
        pytest.skip("it has no files")
    with pytest.raises(DataError) as error:
        find(dataset.model_copy(update={"root": str(tmp_path), "download": False}))
    assert error.value.remedy


def test_images_and_labels_are_of_the_types_that_are_read(dataset: DatasetConfig) -> None:
    data = raw(dataset)
    for part in (data.train, data.test):
        assert isinstance(part.labels, np.ndarray) and part.labels.dtype == np.int64 and part.labels.ndim == 1
        if dataset.is_table:
            check_rows(data, part)
        else:
            check_images(data, part, dataset.image_size)


def check_rows(data: RawData, part: RawPart) -> None:
    rows = part.images
    assert isinstance(rows, np.ndarray) and rows.dtype == np.float32 and np.isfinite(rows).all()
    assert rows.shape == (len(part.labels), len(data.features)), "a row for each label, a name for each number"
    assert data.channels is None and len(set(data.features)) == len(data.features)


def check_images(data: RawData, part: RawPart, size: int | None) -> None:
    assert data.channels in (1, 3) and size is not None
    count = 0
    for image in part.images:
        assert image.dtype == np.uint8 and image.ndim in (2, 3)
        assert resized(image, size, data.channels).shape[0] == data.channels
        count += 1
    assert count == len(part.labels), "as many images as labels"


def test_it_reads_the_same_twice(dataset: DatasetConfig) -> None:
    first, again = raw(dataset), raw(dataset)
    assert first.class_names == again.class_names
    for one, other in ((first.train, again.train), (first.test, again.test)):
        assert np.array_equal(one.labels, other.labels)
        assert all(np.array_equal(a, b) for a, b in zip(one.images, other.images, strict=True))


def test_sizes_and_classes_are_as_its_yaml_says(dataset: DatasetConfig) -> None:
    data = raw(dataset)
    counts = (len(data.class_names), len(data.train.labels), len(data.test.labels))
    said = (dataset.classes, dataset.train_images, dataset.test_images)
    assert all(one in (None, other) for one, other in zip(said, counts, strict=True)), f"{said} against {counts}"
    assert len(set(data.class_names)) == len(data.class_names) and all(data.class_names)


def test_it_can_be_split_and_attacked(dataset: DatasetConfig) -> None:
    data = raw(dataset)
    make_splits(
        data.train.labels,
        data.test.labels,
        limit=dataset.limit,
        val_ratio=dataset.val_ratio,
        forget=RandomForget(name="random", ratio=0.1),
        seed=dataset.split_seed,
    )
