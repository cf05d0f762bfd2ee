"""Which files a dataset consists of, and two names for them: a quick one of their stat, a true one of their bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from deepunlearn.core.errors import ConfigError, DataError, MissingData
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.endings import SYSTEM

if TYPE_CHECKING:
    from deepunlearn.core.progress import Progress

READER_VERSION = 2  # bump when the same files would be read as other images, labels or parts
ADVANCE = 128  # files between two steps of a progress bar


class FileStamp(NamedTuple):
    """A file and what changes when it is written to. `path` is relative to the inventory's root, with slashes."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int  # also moves where a tool restores the mtime of what it writes


@dataclass(frozen=True)
class Inventory:
    """The files of a dataset in reading order, and the facts beside them that decide what is read from them.

    left_out: what lies among the files and is not read, relative to `root`; folders end in a slash.
    """

    root: Path
    files: tuple[FileStamp, ...]
    facts: tuple[str, ...]
    left_out: tuple[str, ...] = ()

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


def inventory_of(config: DatasetConfig, *paths: str) -> Inventory:
    """These files below dataset.root. Raises ConfigError where it is not given, MissingData where one is not there."""
    if config.root is None:
        raise no_root(config, "the folder of the files")
    root = Path(config.root).expanduser().absolute()
    missing = [path for path in paths if not (root / path).is_file()]
    if missing:
        raise MissingData(
            f"dataset {config.name} is not there: files are missing in {root}",
            given=f"missing {', '.join(missing)}",
            allowed=f"the files {', '.join(paths)}",
            remedy="give dataset.root=DIR where they lie, or get them from their source",
        )
    return Inventory(root, tuple(stamp(root, path) for path in paths), (config.source,))


def no_root(config: DatasetConfig, allowed: str) -> ConfigError:
    """The error for a dataset with files whose folder is not given."""
    return ConfigError(
        f"dataset {config.name} needs a folder: dataset.root is not given",
        given="dataset.root=null",
        allowed=allowed,
        remedy="give dataset.root=DIR",
    )


def unfit(config: DatasetConfig, inventory: Inventory, given: str, allowed: str) -> DataError:
    """The error for files that are there and cannot be used."""
    elsewhere = "point dataset.root=DIR elsewhere" if config.path is None else "give another dataset.path=DIR"
    return DataError(
        f"dataset {config.name} in {inventory.root} cannot be used",
        given=given,
        allowed=allowed,
        remedy=f"restore the files from their source, or {elsewhere}",
    )


class Listing(NamedTuple):
    """What is in a folder, each sorted by name."""

    images: list[FileStamp]
    folders: list[str]  # names
    others: list[str]  # files of other kinds, hidden ones and folders of a system, relative to the root


def listing(root: Path, folder: str, suffixes: Container[str]) -> Listing:
    """What is in `root / folder` (not below); images are the files that end in one of `suffixes`.

    Upper case is read as lower case; what is hidden is no image, nor is what lies in a folder of a system. A dangling
    link is an error, not one image fewer. Raises DataError where something cannot be read.
    """
    prefix = f"{folder}/" if folder else ""
    listed = Listing([], [], [])
    for entry in _entries(root / folder):
        if entry.name.startswith("."):
            listed.others.append(prefix + entry.name)
        elif entry.is_dir():
            listed.others.append(f"{prefix}{entry.name}/") if entry.name in SYSTEM else listed.folders.append(
                entry.name
            )
        elif PurePath(entry.name).suffix.lower() in suffixes:
            listed.images.append(_stamp_of(entry, prefix))
        else:
            listed.others.append(prefix + entry.name)
    return listed


def images_below(root: Path, folder: str, suffixes: Container[str]) -> list[FileStamp]:
    """The images in `root / folder` and in all folders in it, folder after folder."""
    listed = listing(root, folder, suffixes)
    deeper = (images_below(root, f"{folder}/{name}", suffixes) for name in listed.folders)
    return [*listed.images, *(image for images in deeper for image in images)]


def _stamp_of(entry: os.DirEntry[str], prefix: str) -> FileStamp:
    try:
        stat = entry.stat()
    except OSError as error:
        raise unreadable(Path(entry.path), error) from error
    return FileStamp(prefix + entry.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def unreadable(path: Path, error: BaseException) -> DataError:
    """The error for a file or folder that the system does not let us read."""
    return DataError(
        f"cannot read {path}",
        given=f"{type(error).__name__}: {error}",
        allowed="files and folders that you may read",
        remedy="check that it exists and may be read, or restore it from its source",
    )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
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
