"""What becomes of an image: upright, on a background, its first frame, and only what Pillow decodes by itself."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from deepunlearn.core.errors import DataError
from deepunlearn.data.endings import SUFFIXES, counted
from deepunlearn.data.images import Remark, decode
from tests.data.small_data import noise

ORIENTATION = 0x0112


def exif(orientation: Any) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def decoded(path: Path, background: Any = "black") -> tuple[np.ndarray, list[Remark]]:
    remarks: list[Remark] = []
    return decode(path, background, remarks), remarks


# -------------------------------------------------------------------------------------------------------- orientation


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff", ".jpg"])
@pytest.mark.parametrize("number", range(1, 9))
def test_images_are_turned_upright_as_pillow_does_it(tmp_path: Path, number: int, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    more = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(noise(1, 20, 40, 3)).save(path, exif=exif(number), **more)
    with Image.open(path) as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    assert expected.shape == ((20, 40, 3) if number < 5 else (40, 20, 3))
    pixels, remarks = decoded(path)
    assert np.array_equal(pixels, expected)
    assert remarks == (["turned"] if number > 1 and suffix != ".tiff" else []), "Pillow turns a TIFF by itself"


def test_grey_and_palette_images_are_turned_too(tmp_path: Path) -> None:
    for mode in ("L", "P"):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(noise(1, 20, 40, 3)).convert(mode).save(path, exif=exif(6))
        with Image.open(path) as image:
            expected = ImageOps.exif_transpose(image).convert("L" if mode == "L" else "RGB")
        assert np.array_equal(decode(path), np.array(expected))


@pytest.mark.parametrize("number", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_upright(tmp_path: Path, number: int) -> None:
    Image.fromarray(noise(1, 20, 40, 3)).save(tmp_path / "photo.png", exif=exif(number))
    pixels, remarks = decoded(tmp_path / "photo.png")
    assert np.array_equal(pixels, noise(1, 20, 40, 3)) and remarks == []


@pytest.mark.parametrize("damage", [slice(0, 2), slice(6, 14), slice(14, 26), slice(10, 11)])
@pytest.mark.filterwarnings("ignore")
def test_unreadable_exif_is_no_reason_to_refuse_an_image(tmp_path: Path, damage: slice) -> None:
    content = bytearray(exif(6).tobytes())
    content[damage] = b"\xff" * len(content[damage])
    Image.fromarray(noise(1, 20, 40, 3)).save(tmp_path / "photo.png", exif=bytes(content))
    assert decode(tmp_path / "photo.png").shape in {(20, 40, 3), (40, 20, 3)}


# ------------------------------------------------------------------------------------------------------- transparency

HIDDEN = (200, 30, 90)  # under full transparency, and half of it


def see_through() -> Image.Image:
    """One row of three pixels of one colour: transparent, half transparent, opaque."""
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)
    pixels[..., :3], pixels[0, :, 3] = HIDDEN, (0, 128, 255)
    return Image.fromarray(pixels)


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def palette(tmp_path: Path) -> Path:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("L")
    image.putpalette([*HIDDEN * 3])
    return saved(image, tmp_path / "p.png", transparency=bytes([0, 128, 255]))


def colour_key(tmp_path: Path) -> Path:
    return saved(Image.fromarray(np.full((1, 3, 3), HIDDEN, np.uint8)), tmp_path / "k.png", transparency=HIDDEN)


SEE_THROUGH = {
    "RGBA": lambda folder: saved(see_through(), folder / "a.png"),
    "WebP": lambda folder: saved(see_through(), folder / "a.webp", lossless=True, exact=True),
    "palette": palette,
    "LA": lambda folder: saved(see_through().convert("LA"), folder / "a.png"),
    "premultiplied": lambda folder: multiplied(folder / "a.tiff"),
}


def multiplied(path: Path) -> Path:
    """A TIFF whose colours are stored times their alpha, as some programs write it: tag ExtraSamples is 1, not 2."""
    pixels = np.array(see_through())
    pixels[..., :3] = pixels[..., :3].astype(int) * pixels[..., 3:] // 255
    Image.fromarray(pixels).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<HHI", 338, 3, 1)) + 8] = 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("background", "level"), [("black", 0), ("white", 255)])
@pytest.mark.parametrize("kind", [*SEE_THROUGH])
def test_transparent_pixels_show_the_background(tmp_path: Path, kind: str, background: str, level: int) -> None:
    pixels, remarks = decoded(SEE_THROUGH[kind](tmp_path), background)
    assert remarks == ["blended"]
    one_pixel = Image.new("RGB", (1, 1), HIDDEN)
    colour = np.array(one_pixel.convert("L" if pixels.ndim == 2 else "RGB"), dtype=int).ravel()
    shown = pixels[0].reshape(3, -1).astype(int)
    assert (shown[0] == level).all(), "not the colour that hides there"
    assert np.abs(shown[1] - (colour * 128 + level * 127) / 255).max() <= 1
    assert (shown[2] == colour).all()


def test_a_transparent_colour_shows_the_background(tmp_path: Path) -> None:
    pixels, remarks = decoded(colour_key(tmp_path), "white")
    assert (pixels == 255).all() and remarks == ["blended"]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opaque_images_are_as_without_their_alpha(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(noise(1, 9, 7, 3)).convert(mode)
    image.save(tmp_path / "a.png")
    pixels, remarks = decoded(tmp_path / "a.png", "white")
    assert np.array_equal(pixels, np.array(image.convert("L" if mode == "LA" else "RGB"))) and remarks == []


# ------------------------------------------------------------------------------------------- frames, depths, endings


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tiff"])
def test_of_several_frames_the_first_is_read(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (255, 0, 128)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], **{"duration": 50})
    pixels, remarks = decoded(tmp_path / f"a{suffix}")
    assert (pixels == 255).all() and remarks == ["frames"]


def test_a_photo_with_a_preview_is_one_picture(tmp_path: Path) -> None:
    frames = [Image.fromarray(noise(number, 8, 8, 3)) for number in range(2)]
    frames[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=frames[1:])
    assert decoded(tmp_path / "a.jpg")[1] == []


def test_of_16_bit_colours_the_upper_8_are_read(tmp_path: Path) -> None:
    """Pillow cuts them by itself. The file is written by hand, as Pillow writes none."""
    deep = (np.arange(8 * 8 * 3) * 300).astype(">u2").reshape(8, 8, 3)
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    written = [struct.pack(">I", len(data)) + k + data + struct.pack(">I", zlib.crc32(k + data)) for k, data in chunks]
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))
    pixels, remarks = decoded(tmp_path / "deep.png")
    assert np.array_equal(pixels, deep >> 8) and remarks == ["cut"]


def test_a_bitmap_of_16_bits_per_pixel_loses_nothing(tmp_path: Path) -> None:
    """5, 6 and 5 bits per channel: PIL calls that BGR;16."""
    size = struct.pack("<IHHI", 14 + 40 + 12 + 8, 0, 0, 14 + 40 + 12)
    header = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    (tmp_path / "a.bmp").write_bytes(b"BM" + size + header + masks + struct.pack("<4H", 0xF800, 0x07E0, 0x001F, 0))
    pixels, remarks = decoded(tmp_path / "a.bmp")
    assert pixels[1].tolist() == [[255, 0, 0], [0, 255, 0]] and remarks == []


def test_grey_images_of_16_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(tmp_path / "deep.tiff")
    with pytest.raises(DataError, match="cannot be decoded") as error:
        decode(tmp_path / "deep.tiff")
    assert "8 bits" in error.value.given


NOT_BY_ITSELF = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # stubs, or another program or system does it


def test_every_ending_that_pillow_decodes_is_read() -> None:
    Image.init()
    decodes = {ending for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    foreign = {ending for ending, name in Image.registered_extensions().items() if name in NOT_BY_ITSELF}
    assert decodes - foreign <= SUFFIXES
    assert not SUFFIXES & foreign


def test_what_is_left_out_is_counted_by_kind() -> None:
    paths = ["a/notes.txt", "b/more.TXT", ".DS_Store", "a/old/", "README", "loose.png"]
    assert counted(paths) == (
        "2 .txt, 1 hidden, 1 folders that are no class, 1 without an ending, 1 images outside the class folders "
        "(a/notes.txt, b/more.TXT, .DS_Store, ...)"
    )
