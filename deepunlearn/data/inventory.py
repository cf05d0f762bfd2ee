"""Which files a dataset consists of, and two names for them: a quick one of their stat, a true one of their bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deepunlearn.core.errors import DataError

if TYPE_CHECKING:
    from deepunlearn.core.progress import Progress

READER_VERSION = 1  # bump when the same files would be read as other images, labels or parts
ADVANCE = 128  # files between two steps of a progress bar


class FileStamp(NamedTuple):
    """A file and what changes when it is written to. `path` is relative to the inventory's root, with slashes."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int  # also moves where a tool restores the mtime of what it writes


@dataclass(frozen=True)
class Inventory:
    """The files of a dataset in reading order, and the facts beside them that decide what is read from them."""

    root: Path
    files: tuple[FileStamp, ...]
    facts: tuple[str, ...]

    def fingerprint(self) -> str:
        """64 hex digits that change when any file may have changed. Opens no file."""
        stamps = (f"{path}\0{size}\0{mtime}\0{ctime}" for path, size, mtime, ctime in self.files)
        root = [str(self.root.resolve())] if self.files else []  # what has no files lies nowhere
        return _hash((str(READER_VERSION), *self.facts, *root, *stamps))

    def content_key(self, label: str, progress: Progress) -> str:
        """64 hex digits of the files' bytes and relative paths; the same wherever the files lie. Reads every file."""
        lines = [str(READER_VERSION), *self.facts]
        with progress.bar(label, total=len(self.files)) as bar:
            for number, stamp in enumerate(self.files, start=1):
                lines.append(f"{stamp.path}\0{_sha256(self.root / stamp.path)}")
                if number % ADVANCE == 0:
                    bar.advance(ADVANCE)
        return _hash(lines)


def stamp(root: Path, path: str) -> FileStamp:
    """The stamp of file `root / path`. Raises DataError where it cannot be read."""
    try:
        stat = (root / path).stat()
    except OSError as error:
        raise unreadable(root / path, error) from error
    return FileStamp(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted; hidden ones are left out."""
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def stamps_of(root: Path, folder: str, suffixes: tuple[str, ...]) -> list[FileStamp]:
    """Stamps of the files in `root / folder` (not below) that end in one of `suffixes`, sorted by name.

    Upper case is read as lower case, hidden files are left out. A dangling link is an error, not one image fewer.
    """
    prefix = f"{folder}/" if folder else ""
    found = []
    for entry in _entries(root / folder):
        if entry.name.lower().endswith(suffixes) and not entry.is_dir():
            try:
                stat = entry.stat()
            except OSError as error:
                raise unreadable(Path(entry.path), error) from error
            found.append(FileStamp(prefix + entry.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return sorted(found)


def unreadable(path: Path, error: BaseException) -> DataError:
    """The error for a file or folder that the system does not let us read."""
    return DataError(
        f"cannot read {path}",
        given=f"{type(error).__name__}: {error}",
        remedy="check that it exists and may be read, or restore it from its source",
    )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise unreadable(folder, error) from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def _hash(lines: Iterable[str]) -> str:
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()
