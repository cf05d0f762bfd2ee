"""What the files in a store may hold: JSON, CSV, arrays without objects, safetensors. Read here with distrust."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from deepunlearn.core.errors import StoreError

LARGEST_JSON = 1 << 28  # bytes; it is read whole
ARRAY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

Refuse = Callable[[str], StoreError]  # what is wrong with the file that is looked at
Check = Callable[[IO[bytes], int, Refuse], None]  # the file, its size in bytes


def parsed(text: bytes, refuse: Refuse) -> Any:
    """JSON with finite numbers, in UTF-8."""
    if len(text) > LARGEST_JSON:
        raise refuse(f"it is larger than {LARGEST_JSON:,} bytes")

    def not_finite(word: str) -> Any:
        raise refuse(f"it has {word}, which is no number")

    try:
        return json.loads(text.decode("utf-8"), parse_constant=not_finite)
    except (ValueError, RecursionError) as error:
        raise refuse(f"it is no JSON ({error})") from error


def check_json(file: IO[bytes], _size: int, refuse: Refuse) -> None:
    parsed(file.read(LARGEST_JSON + 1), refuse)


def check_text(file: IO[bytes], _size: int, refuse: Refuse) -> None:
    """Lines in UTF-8."""
    for number, line in enumerate(file, start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            raise refuse(f"line {number} is no text in UTF-8") from None


def check_arrays(file: IO[bytes], _size: int, refuse: Refuse) -> None:
    """An npz file as numpy writes it without compression: no objects, which are pickles, and no other sizes."""
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise refuse(f"its array {info.filename!r} is compressed")
            with archive.open(info) as array:
                version = np.lib.format.read_magic(array)
                if version not in ARRAY_HEADERS:
                    raise refuse(f"its array {info.filename!r} is of version {version}")
                shape, _, dtype = ARRAY_HEADERS[version](array)
                if dtype.hasobject:
                    raise refuse(f"its array {info.filename!r} holds objects, which only a pickle can")
                if array.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
                    raise refuse(f"its array {info.filename!r} has another size than it says")


def check_weights(file: IO[bytes], size: int, refuse: Refuse) -> None:
    """Safetensors: 8 bytes with the length of a JSON header, the header, and as many bytes as its tensors have."""
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(size - 8, LARGEST_JSON):
        raise refuse("it is no safetensors file: its header has no length that fits")
    header = parsed(file.read(length), refuse)
    tensors = [one for name, one in header.items() if name != "__metadata__"] if isinstance(header, dict) else None
    try:
        end = None if tensors is None else max((int(one["data_offsets"][1]) for one in tensors), default=0)
    except (LookupError, TypeError):
        end = None
    if end != size - 8 - length:
        raise refuse("it is no safetensors file: its tensors do not fill it")


CHECKS: dict[str, Check] = {
    ".json": check_json,
    ".csv": check_text,
    ".npz": check_arrays,
    ".safetensors": check_weights,
}
