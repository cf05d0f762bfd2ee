"""A results folder on a file system without links of any kind: exFAT, where this machine can mount one."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepunlearn.core.paths import write_atomically
from tests.commands import SMALL, sweep, tree
from tests.core.test_claims import one_winner_each

TOOLS = ("mkfs.exfat", "mount.exfat-fuse", "losetup", "umount")  # of the packages exfatprogs and exfat-fuse
BYTES = 64 * 2**20


def run(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout.strip()


@pytest.fixture
def exfat(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own."""
    if os.geteuid() or not all(map(shutil.which, TOOLS)):
        pytest.skip(f"needs root and {', '.join(TOOLS)}")
    image, folder = tmp_path / "image", tmp_path / "mounted"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(BYTES)
    run("mkfs.exfat", image)
    try:
        device = run("losetup", "--find", "--show", image)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device: {error.stderr}")
    try:
        run("mount.exfat-fuse", device, folder)
        if not folder.is_mount():
            pytest.skip("this machine mounts no FUSE file systems")
        yield folder
        run("umount", folder)
    finally:
        run("losetup", "--detach", device)


def test_claims_are_exclusive_there(exfat: Path) -> None:
    (exfat / "file").write_text("")
    with pytest.raises(PermissionError):
        os.link(exfat / "file", exfat / "link")
    one_winner_each(exfat / "claims", rounds=20, takers=3)


def test_folders_that_cannot_be_synced_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFS answers EINVAL for a folder; a file that is not on disk is an error as ever."""
    answers = {"folder": errno.EINVAL, "file": 0}
    sync = os.fsync

    def answering(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        if answers[kind]:
            raise OSError(answers[kind], os.strerror(answers[kind]))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", answering)
    write_atomically(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"
    for kind in ("folder", "file"):
        answers[kind] = errno.EIO
        with pytest.raises(OSError, match="Input/output error"):
            write_atomically(tmp_path / "b", "text")
        answers[kind] = 0


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_a_sweep_with_two_workers_ends_well_there(exfat: Path, tmp_path: Path, storage: str) -> None:
    arguments = [*SMALL, "method=ft", "seeds=1", "search.seeds=1", f"search.storage={storage}", "launcher.workers=2"]
    done = sweep(tmp_path, *arguments, f"results={exfat / 'results'}")
    assert done.returncode == 0, done.stdout + done.stderr
    before = tree(exfat / "results" / "store")
    again = sweep(tmp_path, *arguments, f"results={exfat / 'results'}")
    assert again.returncode == 0, again.stdout + again.stderr
    assert before and tree(exfat / "results" / "store") == before, "all was done already"
