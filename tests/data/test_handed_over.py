"""What a plug-in hands over is what docs/adding.md says, or is refused: nothing is scrambled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deepunlearn.core.errors import DataError
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.handed_over import check_labels, checked
from deepunlearn.data.images import RawData, RawPart
from tests.data.small_data import noise

SIX = RawPart(np.arange(6) % 2, noise(0, 6, 9, 9))
GREY = RawData(SIX, SIX, ("a", "b"), channels=1)
CONFIG = DatasetConfig(name="own", title="", source="own")
COLOUR = noise(0, 6, 9, 9, 3)


def passed(raw: RawData, config: DatasetConfig = CONFIG) -> list[np.ndarray]:
    check_labels(config, raw)
    data = checked(config, raw)
    return [image for part in (data.train, data.test) for image in part.images]


def test_images_pass_as_they_are() -> None:
    assert np.array_equal(passed(GREY), [*SIX.images, *SIX.images])
    mixed = replace(GREY, channels=3, test=replace(SIX, images=COLOUR))
    assert [image.ndim for image in passed(mixed)] == [2] * 6 + [3] * 6


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (noise(0, 6, 9, 9).astype(np.float32) / 255, "test image 0: float32 [9, 9]"),
        (noise(0, 6, 9, 9).astype(np.int64), "test image 0: int64 [9, 9]"),
        (COLOUR, "test image 0: uint8 [9, 9, 3]"),
        (noise(0, 6, 1, 9, 9), "test image 0: uint8 [1, 9, 9]"),
        (noise(0, 5, 9, 9), "5 images and 6 labels in the test part"),
        (noise(0, 7, 9, 9), "more images than the 6 labels of the test part"),
        (iter([noise(0, 9, 9).tolist()]), "test image 0: list"),
    ],
)
def test_images_that_would_be_scrambled_are_refused(images: object, told: str) -> None:
    with pytest.raises(DataError, match="`read` of dataset own") as error:
        passed(replace(GREY, test=replace(SIX, images=images)))
    assert error.value.given == told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": np.zeros(6)}, "labels of the training part: float64 [6]"),
        ({"labels": np.zeros((6, 1), dtype=np.int64)}, "labels of the training part: int64 [6, 1]"),
        ({"labels": [0, 1] * 3}, "labels of the training part: list"),
        ({"names": ["one"]}, "6 labels and 1 names in the training part"),
    ],
)
def test_labels_and_names_are_refused_unless_they_fit(change: dict, told: str) -> None:
    with pytest.raises(DataError) as error:
        passed(replace(GREY, train=replace(SIX, **change)))
    assert error.value.given == told


def test_the_number_of_channels_has_to_be_said() -> None:
    with pytest.raises(DataError) as error:
        passed(replace(GREY, channels=None))
    assert error.value.given == "channels=None"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (np.zeros((6, 2)), "rows of the training part: float64 [6, 2]"),
        (np.zeros((5, 2), dtype=np.float32), "rows of the training part: float32 [5, 2]"),
        (np.full((6, 2), np.nan, dtype=np.float32), "NaN or infinity in the training part"),
    ],
)
def test_rows_of_a_table_have_a_number_for_each_feature(rows: np.ndarray, told: str) -> None:
    part = replace(SIX, images=rows)
    with pytest.raises(DataError) as error:
        passed(
            RawData(part, part, ("a", "b"), channels=None, features=("x", "y")),
            CONFIG.model_copy(update={"image_size": None}),
        )
    assert error.value.given == told
