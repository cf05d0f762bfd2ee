"""Which files are images, by their endings, and a count of those beside them, so that none is missed without a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

# What Pillow decodes by itself, as a list of ours: a folder is then the same data with every version of Pillow, and one
# that lacks a decoder says so instead of leaving images out.
_ENDINGS = """
.apng .avif .avifs .blp .bmp .bw .cur .dcx .dds .dib .fit .fits .flc .fli .ftc .ftu .gbr .gif .icb .icns .ico .iim .im
.j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .mpo .msp .pbm .pcd .pcx .pfm .pgm .png .pnm .ppm .psd .pxr .qoi
.ras .rgb .rgba .sgi .tga .tif .tiff .vda .vst .webp .xbm .xpm
"""
SUFFIXES = frozenset(_ENDINGS.split())
# folders that systems put beside anybody's files: archives of macOS, network storage, bins of Windows and Linux
SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
ORDINARY = "jpg, png, webp, gif, bmp, tiff and whatever else Pillow decodes"
EXAMPLES = 3  # named


def counted(paths: Sequence[str]) -> str:
    """For instance "12 .txt, 1 hidden (a/notes.txt, .DS_Store)": how many of each kind, and the first few by name."""
    kinds = Counter(map(kind_of, paths)).most_common()
    more = ", ..." if len(paths) > EXAMPLES else ""
    return f"{', '.join(f'{count:,} {kind}' for kind, count in kinds)} ({', '.join(paths[:EXAMPLES])}{more})"


def kind_of(path: str) -> str:
    """What to call a file that is not read; folders end in a slash."""
    name = PurePosixPath(path)
    ending = name.suffix.lower()
    if name.name.startswith("."):
        return "hidden"
    if name.name in SYSTEM:
        return "folders of a system"
    if path.endswith("/"):
        return "folders that are no class"
    if ending in SUFFIXES:
        return "images outside the class folders"
    return ending or "without an ending"
