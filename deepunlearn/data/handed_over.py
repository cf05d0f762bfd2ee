"""What `read` of a source hands over, checked: a plug-in may hand over something else than `RawData` says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from deepunlearn.core.errors import DataError
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.images import Pixels, RawData, RawPart

PARTS = ("training", "test")


def check_labels(config: DatasetConfig, raw: RawData) -> None:
    """Raises DataError unless labels are int64 [N], and names as many."""
    for part, name in zip((raw.train, raw.test), PARTS, strict=True):
        if not isinstance(part.labels, np.ndarray) or part.labels.dtype != np.int64 or part.labels.ndim != 1:
            raise _wrong(config, f"labels of the {name} part: {_told(part.labels)}", "labels int64 [N]")
        if part.names is not None and len(part.names) != len(part.labels):
            given = f"{len(part.labels):,} labels and {len(part.names):,} names in the {name} part"
            raise _wrong(config, given, "a name for each label, or names=None")


def checked(config: DatasetConfig, raw: RawData) -> RawData:
    """The same data. Raises DataError for rows that are unfit; for an image that is, when it passes."""
    both = tuple(zip((raw.train, raw.test), PARTS, strict=True))
    if config.is_table:
        for part, name in both:
            _check_rows(config, part, name, len(raw.features))
        return raw
    if raw.channels not in {1, 3}:
        raise _wrong(config, f"channels={raw.channels}", "channels=1 where all images are grey, else channels=3")
    train, test = (replace(part, images=_images(config, part, name, raw.channels)) for part, name in both)
    return replace(raw, train=train, test=test)


def _check_rows(config: DatasetConfig, part: RawPart, name: str, features: int) -> None:
    rows: Any = part.images
    allowed = f"float32 [{len(part.labels)}, {features}]: a row for each label, a number for each of `features`"
    if getattr(rows, "dtype", None) != np.float32 or rows.shape != (len(part.labels), features):
        raise _wrong(config, f"rows of the {name} part: {_told(rows)}", allowed)
    if not np.isfinite(rows).all():
        raise _wrong(config, f"NaN or infinity in the {name} part", "finite numbers")


def _images(config: DatasetConfig, part: RawPart, name: str, channels: int) -> Iterator[Pixels]:
    allowed = "uint8, [H, W]" + (" or [H, W, 3]" if channels == 3 else " with channels=1; [H, W, 3] with channels=3")
    wanted, count = len(part.labels), 0
    images: Iterable[Any] = part.images
    for count, image in enumerate(images, start=1):
        if count > wanted:
            raise _wrong(
                config, f"more images than the {wanted:,} labels of the {name} part", "an image for each label"
            )
        if not _fits(image, channels):
            raise _wrong(config, f"{name} image {count - 1}: {_told(image)}", allowed)
        yield image
    if count < wanted:
        given = f"{count:,} images and {wanted:,} labels in the {name} part"
        raise _wrong(config, given, "an image for each label")


def _fits(image: Any, channels: int) -> bool:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or 0 in image.shape:
        return False
    return image.ndim == 2 or (image.ndim == 3 and image.shape[2] == channels == 3)


def _told(values: Any) -> str:
    if isinstance(values, np.ndarray):
        return f"{values.dtype} {list(values.shape)}"
    return type(values).__name__


def _wrong(config: DatasetConfig, given: str, allowed: str) -> DataError:
    return DataError(
        f"`read` of dataset {config.name} hands over what cannot be used",
        given=given,
        allowed=allowed,
        remedy="correct `read` in the dataset's file; docs/adding.md shows an example",
    )
