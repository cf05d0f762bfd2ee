"""The content-addressed store: every result whole or not there, never overwritten, never unpickled.

`<root>/<dataset>/<arch>/<stage>/<method>/seed<k>-<key16>/` holds `config.json` (the full key), `meta.json` (how it
was made, and size and sha256 of every payload file) and the payload. An entry is written to a temporary sibling,
flushed to disk and renamed. Of two writers of one key the second discards its work.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import socket
import traceback
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from deepunlearn.core.entry_files import check_config, checked_meta, damaged, manifest, read_json, sha256
from deepunlearn.core.identity import Key
from deepunlearn.core.keys import RowKey, key_in
from deepunlearn.core.paths import sync_contents, sync_file_system, sync_folder, write_atomically

EARLIER_ROUND = "EarlierRound"  # the error of a note on what a round before it keeps from being done
FailureKind = Literal["failed", "skipped", "not_reached", "not_applicable", "search_failed", "infrastructure"]
DRAFT = ".draft-"
TRIALS = "trials.csv"  # of a search
MEMORISATION = "memorisation.npz"  # of U-LiRA's originals: rows of the training part, labels, score, low, high; [pool]
STATISTIC = "phi.npz"  # of every U-LiRA model: phi and, since there are verdicts, right; [pool] each


@dataclass(frozen=True)
class Place:
    """The labels that make a path readable. They identify nothing; the key does."""

    dataset: str
    arch: str = "-"
    method: str = "-"
    seed: int | None = None

    def folder(self, stage: str, key16: str) -> Path:
        seed = "" if self.seed is None else f"seed{self.seed}-"
        return Path(self.dataset) / self.arch / stage / self.method / f"{seed}{key16}"


@dataclass(frozen=True)
class Entry:
    """A stored result. Payload files are checked against their recorded size and sha256 when they are read."""

    path: Path
    key: Key
    meta: dict[str, Any]

    def file(self, name: str) -> Path:
        """The path of payload `name`, its content verified. Raises StoreError where it is damaged or missing."""
        recorded = self.meta["files"].get(name)
        path = self.path / name
        if recorded is None:
            raise damaged(path, f"the entry has no file {name!r}, only {', '.join(sorted(self.meta['files']))}")
        if sha256(path) != recorded["sha256"]:
            raise damaged(path, "its content is not what was written")
        return path

    def json(self, name: str) -> Any:
        return json.loads(self.file(name).read_text(encoding="utf-8"))

    def arrays(self, name: str) -> dict[str, npt.NDArray[Any]]:
        with np.load(self.file(name), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}


@dataclass
class Draft:
    """An entry being written: put payload files into `path`, facts about the run into `meta`."""

    path: Path
    meta: dict[str, Any]

    def write_json(self, name: str, value: Any) -> None:
        text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
        (self.path / name).write_text(text + "\n", encoding="utf-8")

    def write_arrays(self, name: str, **arrays: npt.NDArray[Any]) -> None:
        assert not any(array.dtype.hasobject for array in arrays.values()), "objects would be stored as pickles"
        np.savez(self.path / name, **cast(Any, arrays))


class Store:
    """All results below one folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.anew = root, False

    @contextmanager
    def looking_anew(self) -> Iterator[None]:
        """For the block, have the server of the file system asked again for what seems not to be there.

        An NFS client remembers for up to a minute that something was not there, also when another machine has just
        written it.
        """
        self.anew = True
        try:
            yield
        finally:
            self.anew = False

    def path(self, key: Key, place: Place) -> Path:
        return self.root / place.folder(key.stage, key.short)

    def find(self, key: Key, place: Place) -> Entry | None:
        """The entry of `key`, or None. Raises StoreError where what is stored is damaged or belongs to another key."""
        path = self.path(key, place)
        if not path.is_dir() and not (self.anew and _has_come(path)):
            return None
        check_config(path, key)
        return Entry(path, key, checked_meta(path))

    def open(self, path: Path) -> Entry:
        """The entry in a folder of this store, whatever its key. Raises StoreError where it is damaged."""
        config = path / "config.json"
        key = key_in(read_json(config), str(config))
        if path.name.rpartition("-")[2] != key.short or path.parts[-3] != key.stage:
            raise damaged(config, f"it is of {key.stage}, key {key.short}")
        return Entry(path, key, checked_meta(path))

    def entries(self) -> list[Path]:
        """The folders of all entries, damaged or not, sorted; drafts are none."""
        return sorted(path for path in self.root.glob("*/*/*/*/*") if path.is_dir() and not path.name.startswith(DRAFT))

    def has(self, key: Key, place: Place) -> bool:
        """Whether there is an entry of `key`, damaged or not."""
        return self.path(key, place).is_dir()

    @contextmanager
    def writing(self, key: Key, place: Place, facts: dict[str, Any]) -> Iterator[Draft]:
        """Write an entry: it appears whole when the block ends, and not at all where the block raises.

        If another writer finished the same key meanwhile, this one's work is discarded.
        """
        batch = Batch(self)
        with batch.writing(key, place, facts) as draft:
            yield draft
        batch.publish()

    def clean(self) -> int:
        """Remove drafts that dead processes of this machine left behind; returns how many."""
        return remove_dead_drafts(self.root.glob(f"*/*/*/*/{DRAFT}*"))


@dataclass
class Batch:
    """Entries that appear when `publish` is called. Of many small ones that takes a fraction of the time of each alone.

    An entry whose block raises is not among them; those that are never published stay drafts, which `clean` removes.
    """

    store: Store
    drafts: list[tuple[Path, Path]] = field(default_factory=list)  # each with the folder that it becomes

    @contextmanager
    def writing(self, key: Key, place: Place, facts: dict[str, Any]) -> Iterator[Draft]:
        """As `Store.writing`, but for when it appears."""
        with self.copying(self.store.path(key, place)) as folder:
            draft = Draft(folder, {**facts, "date": now()})
            yield draft
            draft.write_json("config.json", {"stage": key.stage, "hash": key.hash, "key": key.canonical()})
            draft.meta["files"] = manifest(folder)
            draft.write_json("meta.json", draft.meta)

    @contextmanager
    def copying(self, final: Path) -> Iterator[Path]:
        """A folder that is to become `final`, an entry of this store, as those of `writing` do.

        Put all files of the entry there, as another store has them.
        """
        folder = final.parent / draft_name(final.name)
        folder.mkdir(parents=True)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.drafts.append((folder, final))

    def discard(self) -> None:
        """Let none appear."""
        drafts, self.drafts = self.drafts, []
        for folder, _ in drafts:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self) -> None:
        """Let all appear, durably."""
        drafts, self.drafts = self.drafts, []
        try:
            if len(drafts) > 1:
                sync_file_system(self.store.root)
            else:
                for folder, _ in drafts:
                    sync_contents(folder)
            parents = [final.parent for folder, final in drafts if _appears(folder, final)]
            for parent in dict.fromkeys(parents):
                sync_folder(parent)
        finally:
            for folder, _ in drafts:
                shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------------------------------------------------- failures


@dataclass(frozen=True)
class FailureNote:
    """A task that did not end well, with its reason. Failures are rows of the coverage table, never results."""

    stage: str
    dataset: str
    arch: str
    method: str
    seed: int | None
    cell: str
    result_set: str | None
    kind: FailureKind
    error: str
    message: str
    traceback: str
    date: str
    hparams: str | None = None  # of an evaluation, as JSON; not known of notes of earlier versions


class Failures:
    """One folder per failed task, `<root>/<dataset>/<arch>/failures/<stage>-<method>-seed<k>-<id16>/`.

    `failure.json` there is the current one; earlier ones and those overcome since keep their date in their name.
    `trials.csv` beside it is of the latest search that found nothing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def _file(self, place: Place, task: str) -> Path:
        return self.root / place.dataset / place.arch / "failures" / task / "failure.json"

    def find(self, place: Place, task: str) -> dict[str, Any] | None:
        path = self._file(place, task)
        if not path.is_file():
            return None
        try:
            note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise damaged(path, "it is not JSON") from error
        return note

    def record(self, place: Place, task: str, note: FailureNote, trials: str = "") -> Path:
        """Store `note`; trials: those of a search that found nothing, as CSV."""
        self.settle(place, task, "earlier")
        path = self._file(place, task)
        if trials:
            write_atomically(path.with_name(TRIALS), trials)
        write_atomically(path, json.dumps(note.__dict__, indent=1, ensure_ascii=False) + "\n")
        return path

    def settle(self, place: Place, task: str, outcome: Literal["earlier", "overcome"]) -> None:
        """Set the current failure aside, keeping its text: it is about to be retried, or was overcome."""
        path = self._file(place, task)
        if path.is_file():
            stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
            path.rename(path.with_name(f"{outcome}-{stamp}.json"))


def describe_error(error: BaseException) -> tuple[str, str, str]:
    """(type name, message, which some errors lack, traceback text)."""
    return type(error).__name__, str(error) or "(no message)", "".join(traceback.format_exception(error))


def find_row(store: Store, key: RowKey, place: Place, result_set: str | None) -> tuple[RowKey, Entry | None]:
    """The row of one model in the table `result_set`, or None; and the key that it has or is to have.

    `key` says nothing of tables. So the row that came first may stand in another one: of an earlier version, which told
    1e-2 from 0.01, or of a command that gives by hand what is the default.
    """
    entry = store.find(key, place)
    if entry is None or entry.json("row.json").get("result_set") == result_set:
        return key, entry
    own = key.model_copy(update={"result_set": result_set})
    return own, store.find(own, place)


# ----------------------------------------------------------------------------------------------------------- helpers


def draft_name(name: str) -> str:
    """A name for an unfinished `name` that says which process is writing it."""
    return f"{DRAFT}{name}-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def remove_dead_drafts(folders: Iterable[Path]) -> int:
    """Remove those of `folders`, named by `draft_name`, whose process ran on this machine and is gone; how many."""
    removed = 0
    for folder in folders:
        host, pid = folder.name.rsplit("-", 3)[-3:-1]
        if host == _host() and not process_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)  # another command may be removing it, too
            removed += 1
    return removed


def _host() -> str:
    """This machine's name; with hyphens one could not tell where it begins, and gpu-1 would be taken for cpu-1."""
    return socket.gethostname().replace("-", "_")


def _has_come(path: Path) -> bool:
    """Whether there is such a folder; a client forgets what was not in a folder where we change that one."""
    around = next(folder for folder in path.parents if folder.is_dir())
    probe = around / draft_name(path.name)
    probe.mkdir()
    probe.rmdir()
    return path.is_dir()


def now() -> str:
    """The time in UTC, ISO 8601, whole seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def process_alive(pid: int) -> bool:
    """Whether a process of this machine runs under `pid` (a zombie does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z")


def _appears(folder: Path, final: Path) -> bool:
    """Rename a durable draft; False where another writer was first, whose result stands."""
    try:
        folder.rename(final)
    except OSError:
        if not final.is_dir():
            raise  # a real failure
        return False
    return True
