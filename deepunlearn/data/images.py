"""Images as a source hands them over, and what PIL does to them: decode fully or refuse, resize once."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile

from deepunlearn.core.errors import DataError
from deepunlearn.core.samples import Column
from deepunlearn.data.attributes import Attributes, column
from deepunlearn.data.endings import ORDINARY

Pixels = npt.NDArray[np.uint8]
Background = Literal["black", "white"]
Remark = Literal["turned", "blended", "frames", "cut", "incomplete", "filled", "unseen"]  # what was done to a sample

GREY_MODES = frozenset({"1", "L", "LA"})
COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})
TURNS = {  # EXIF orientation -> what makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DEEP = re.compile(r";16[BLN]")  # in PIL's names of pixel formats: 16 bits per channel ("BGR;16" has them per pixel)
ONE_PICTURE = frozenset({"MPO", "PSD"})  # their further frames are a camera's by-products and layers of the first
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
DAMAGED_EXIF = (*DAMAGED, KeyError, TypeError, AttributeError, ArithmeticError)


class Stored(NamedTuple):
    """An image file that another file holds; `content` None: it lies at the path `name`, if anywhere."""

    name: str
    content: bytes | None


@dataclass(frozen=True, eq=False)
class RawPart:
    """The training or test part as its source has it.

    labels: int64 [N]; images: N arrays uint8, [H, W] (grey) or [H, W, 3] (RGB), of any size, decoded as they are
    iterated over, or the rows of a table, one array float32 [N, D]; names: of the images' files, None where they have
    none of their own; columns: what else is known of each image by name, int64, float64 or text [N] (missing: NaN or
    "").
    """

    labels: npt.NDArray[np.int64]
    images: Iterable[Pixels] | npt.NDArray[np.float32]
    names: Sequence[str] | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class RawData:
    """Both parts of a dataset before resizing. `channels` is 1 where all images are grey, else 3; None of a table.

    features: what each number of a table's row is.
    remarks: kind -> names of the images concerned, filled while the images are iterated over.
    """

    train: RawPart
    test: RawPart
    class_names: tuple[str, ...]
    channels: int | None
    remarks: dict[Remark, list[str]] = field(default_factory=dict)
    features: tuple[str, ...] = ()

    @property
    def attributes(self) -> Attributes:
        """Columns and names of both parts. Raises DataError for a column that cannot be used."""
        train, test = (
            {name: column(values, name, len(part.labels)) for name, values in part.columns.items()}
            for part in (self.train, self.test)
        )
        return Attributes(train, test, self.train.names, self.test.names)


class ImageFiles:
    """Iterates over the decoded images of files `root / name`; notes in `remarks` what was done to which.

    Raises DataError naming the first file that cannot be decoded.
    """

    def __init__(
        self, root: Path, names: Sequence[str], background: Background, remarks: dict[Remark, list[str]]
    ) -> None:
        self.root, self.names, self.background, self.remarks = root, names, background, remarks

    def __iter__(self) -> Iterator[Pixels]:
        for name in self.names:
            done: list[Remark] = []
            yield decode(self.root / name, self.background, done)
            for remark in done:
                self.remarks.setdefault(remark, []).append(name)


def decode(source: Path | Stored, background: Background = "black", remarks: list[Remark] | None = None) -> Pixels:
    """The image in `source` as uint8 [H, W] (grey) or [H, W, 3] (RGB): the first frame, upright, on the background.

    remarks: takes what had to be done to the image; nothing to an ordinary one.
    """
    done = [] if remarks is None else remarks
    with _refusing_truncated_images(), _opened(source) as image:
        done += _first_and_upper_part(image)
        image.load()
        mode = "L" if _is_grey(image) else "RGB"
        plain = _blended(_upright(image, done), background, done)
        return np.array(plain if plain.mode == mode else plain.convert(mode))


def all_grey(sources: Iterable[Path | Stored]) -> bool:
    """Whether every file is a grey image, by the mode in its header; reads no further than the first colour image."""
    return all(_grey_file(source) for source in sources)


def resized(image: Pixels, size: int, channels: int) -> Pixels:
    """uint8 [H, W] or [H, W, 3] to [channels, size, size]: bilinear with antialiasing, in PIL's integer arithmetic."""
    if image.shape[:2] != (size, size):
        image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    if image.ndim == 2:
        return np.broadcast_to(image, (channels, size, size))
    return image.transpose(2, 0, 1)


def _first_and_upper_part(image: Image.Image) -> Iterator[Remark]:
    """What PIL leaves out by itself, known before it loads the image: further frames, and the lower of 16 bits."""
    if image.format not in ONE_PICTURE and getattr(image, "is_animated", False):
        yield "frames"
    if DEEP.search(str(getattr(image, "tile", ""))):
        yield "cut"


def _upright(image: Image.Image, done: list[Remark]) -> Image.Image:
    """The image as a viewer shows it: cameras store it as the sensor lay, with the orientation beside it."""
    turn = TURNS.get(_orientation(image))
    if turn is None:
        return image
    done.append("turned")
    return image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, where there is none or it cannot be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGED_EXIF:
        return 1
    return orientation if isinstance(orientation, int) else 1


def _blended(image: Image.Image, background: Background, done: list[Remark]) -> Image.Image:
    """The image on the background where it is transparent: what its colours are there is nobody's choice."""
    if not image.has_transparency_data:
        return image
    pixels = image.convert("RGBA")
    if pixels.getchannel("A").getextrema()[0] == 255:
        return image
    done.append("blended")
    return Image.alpha_composite(Image.new("RGBA", pixels.size, background), pixels)


@contextmanager
def _refusing_truncated_images() -> Iterator[None]:
    """Have PIL raise on truncated files, whatever other libraries set: half-grey images would train a model."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _grey_file(source: Path | Stored) -> bool:
    with _opened(source) as image:
        return _is_grey(image)


def _is_grey(image: Image.Image) -> bool:
    if image.mode not in GREY_MODES | COLOUR_MODES:
        raise ValueError(f"its pixel format {image.mode} has more than 8 bits per channel")
    return image.mode in GREY_MODES


@contextmanager
def _opened(source: Path | Stored) -> Iterator[Image.Image]:
    """The image, undecoded. Raises DataError with its name, also for what is raised while it is decoded."""
    name, content = source if isinstance(source, Stored) else (source, None)
    try:
        with Image.open(name if content is None else io.BytesIO(content)) as image:
            yield image
    except DAMAGED as error:
        raise DataError(
            f"{name} cannot be decoded",
            given=f"{type(error).__name__}: {error}",
            allowed=f"complete images with 8 bits per channel, {ORDINARY}",
            remedy="restore the file from its source, convert it, or remove it",
        ) from error
