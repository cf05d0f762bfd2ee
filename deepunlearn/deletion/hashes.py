"""Digests of weights and files, by which a report names models."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import nn

WEIGHTS_HASHED = (
    "sha256 of all parameters and buffers, sorted by name: of each its name, type and shape as text with a line feed, "
    "then its values as bytes, little-endian, row by row"
)


def weights_sha256(model: nn.Module) -> str:
    """Of the state dict, as `WEIGHTS_HASHED` says; the same in whatever file it stands and on whatever device it is."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        array = value.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype.name} {list(array.shape)}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
