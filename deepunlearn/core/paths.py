"""Where things lie: the results folder, and the configuration shipped with the package."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deepunlearn.core.errors import ConfigError

PACKAGE = Path(__file__).resolve().parent.parent


def shipped(folder: str) -> Path:
    """`conf` or `sweeps`: inside the package in a wheel, beside it in a checkout."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


@dataclass(frozen=True)
class Results:
    """The folders under `results=DIR`. Moving DIR moves everything."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def cache(self) -> Path:
        """Can be deleted at any time: decoded images, measured speeds."""
        return self.root / "cache"

    @property
    def work(self) -> Path:
        """Checkpoints of trainings under way."""
        return self.root / "work"

    @property
    def search(self) -> Path:
        """The default Optuna storage and the claims of trial slots."""
        return self.root / "search"

    @property
    def runs(self) -> Path:
        """One folder per sweep command: its configuration and the rows expected of it."""
        return self.root / "runs"

    @property
    def trackers(self) -> Path:
        """What `tracker=` writes, a folder for each tracker, and what it was told."""
        return self.root / "trackers"

    @property
    def imported(self) -> Path:
        """What was imported: of each bundle its list of entries, who made it and with which commands."""
        return self.root / "imported"


def check_writable(root: Path, instead: str = "a folder of yours") -> None:
    """Raises ConfigError where the results folder `root` cannot be made or written by this user.

    instead: what else can be given.
    """
    folders = (root, *root.absolute().parents)
    parent = next(one for one in folders if os.path.exists(one))  # noqa: PTH110  Path.exists may raise PermissionError
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise ConfigError(
            "the results folder cannot be written",
            given=str(root),
            allowed="a folder you may write to",
            remedy=f"give results=DIR, {instead}",
        )


def is_readable(file: Path, option: str) -> bool:
    """Whether there is such a file, which `option` names. Raises ConfigError where this user may not read it."""
    with suppress(PermissionError):
        if not file.is_file():
            return False
        if os.access(file, os.R_OK):
            return True
    raise ConfigError(
        f"you may not read {file.name}",
        given=f"{option}={file}",
        allowed="a file that you may read",
        remedy="have its owner let you read it, and enter the folders that it lies in",
    )


def write_atomically(path: Path, text: str) -> None:
    """Write `path` so that readers see the old or the new text, never a part; survives a power cut once returned."""
    write_bytes_atomically(path, text.encode())


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """As `write_atomically`, for bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)  # where the disk is full, a part of a file must not stay on it
    sync_folder(path.parent)


def sync_contents(folder: Path) -> None:
    """Make the files in `folder` and in folders in it, and their being there, durable."""
    for path in folder.iterdir():
        if path.is_dir():
            sync_contents(path)
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)


def sync_file_system(folder: Path) -> None:
    """Make all that was written to the file system of `folder` durable: many small files at the price of one or two."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:  # of Linux alone
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0 and ctypes.get_errno() not in _CANNOT_SYNC:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)


# what file systems answer that cannot make a folder durable apart from its files (network and FUSE mounts)
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable, where its file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def publish_folder(draft: Path, folder: Path, complete: Callable[[Path], bool]) -> None:
    """Rename `draft` to `folder`, durably; where another process was first and is `complete`, its result is the same.

    What is there and damaged is moved out of the way before it is removed, so that nobody sees half of it.
    """
    sync_contents(draft)
    try:
        draft.rename(folder)
    except OSError:
        if complete(folder):
            return
        aside = folder.with_name(f".draft-damaged-{uuid.uuid4().hex[:8]}")
        folder.rename(aside)
        shutil.rmtree(aside)
        draft.rename(folder)
    sync_folder(folder.parent)
