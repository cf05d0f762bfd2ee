"""Images as a source hands them over, and what PIL does to them: decode fully or refuse, resize once."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from deepunlearn.core.errors import DataError

Pixels = npt.NDArray[np.uint8]

GREY_MODES = frozenset({"1", "L", "LA"})
COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})
# what PIL's decoders raise on damaged files, found by cutting and altering them
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, eq=False)
class RawPart:
    """The training or test part as its source has it.

    labels: int64 [N]; images: N arrays uint8, [H, W] (grey) or [H, W, 3] (RGB), of any size, decoded as they are
    iterated over.
    """

    labels: npt.NDArray[np.int64]
    images: Iterable[Pixels]


@dataclass(frozen=True, eq=False)
class RawData:
    """Both parts of a dataset before resizing. `channels` is 1 where all images of both are grey, else 3."""

    train: RawPart
    test: RawPart
    class_names: tuple[str, ...]
    channels: int


class ImageFiles:
    """Iterates over the decoded images of `paths`. Raises DataError naming the first file that cannot be decoded."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __iter__(self) -> Iterator[Pixels]:
        return map(decode, self.paths)


def decode(path: Path) -> Pixels:
    """The image in `path` as uint8 [H, W] (grey) or [H, W, 3] (RGB; transparency is dropped)."""
    with _refusing_truncated_images(), _naming(path), Image.open(path) as image:
        image.load()
        mode = "L" if _is_grey(image) else "RGB"
        return np.array(image if image.mode == mode else image.convert(mode))


def all_grey(paths: Iterable[Path]) -> bool:
    """Whether every file is a grey image, by the mode in its header; reads no further than the first colour image."""
    return all(_grey_file(path) for path in paths)


def resized(image: Pixels, size: int, channels: int) -> Pixels:
    """uint8 [H, W] or [H, W, 3] to [channels, size, size]: bilinear with antialiasing, in PIL's integer arithmetic."""
    if image.shape[:2] != (size, size):
        image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    if image.ndim == 2:
        return np.broadcast_to(image, (channels, size, size))
    return image.transpose(2, 0, 1)


@contextmanager
def _refusing_truncated_images() -> Iterator[None]:
    """Have PIL raise on truncated files, whatever other libraries set: half-grey images would train a model."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _grey_file(path: Path) -> bool:
    with _naming(path), Image.open(path) as image:
        return _is_grey(image)


def _is_grey(image: Image.Image) -> bool:
    if image.mode not in GREY_MODES | COLOUR_MODES:
        raise ValueError(f"its pixel format {image.mode} has more than 8 bits per channel")
    return image.mode in GREY_MODES


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        raise DataError(
            f"{path} cannot be decoded",
            given=f"{type(error).__name__}: {error}",
            allowed="complete jpg or png images with 8 bits per channel",
            remedy="restore the file from its source, convert it, or remove it",
        ) from error
