"""The store: whole or not there, two writers, damage found, failures kept."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepunlearn.core.errors import StoreError
from deepunlearn.core.keys import GivenKey, MetricsKey, RowKey
from deepunlearn.core.store import Batch, FailureNote, Failures, Place, Store, draft_name, find_row, remove_dead_drafts
from tests.keys import SPLIT, reference

KEY = SPLIT
PLACE = Place("digits", "resnet18", "msg", 3)


def write(store: Store, value: int = 1) -> None:
    with store.writing(KEY, PLACE, {"seconds": 1.5}) as draft:
        draft.write_arrays("numbers.npz", a=np.full(1000, value))
        draft.write_json("facts.json", {"value": value})


def tree_hash(root: Path) -> str:
    """Names and contents of everything below `root`."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        digest.update(str(path.relative_to(root)).encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def test_what_is_written_is_found_with_readable_paths(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find(KEY, PLACE) is None
    write(store)
    entry = store.find(KEY, PLACE)
    assert entry is not None
    assert entry.path.relative_to(tmp_path) == Path(f"digits/resnet18/split/msg/seed3-{KEY.short}")
    assert entry.arrays("numbers.npz")["a"].sum() == 1000
    assert entry.json("facts.json") == {"value": 1}
    assert entry.meta["seconds"] == 1.5


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.writing(KEY, PLACE, {}) as draft:
        draft.write_json("facts.json", {})
        raise RuntimeError
    assert store.find(KEY, PLACE) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_second_of_two_writers_discards(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing(KEY, PLACE, {}) as slow:
        slow.write_json("facts.json", {"value": "slow"})
        write(store, value=2)
        before = tree_hash(store.path(KEY, PLACE))
    assert tree_hash(store.path(KEY, PLACE)) == before
    entry = store.find(KEY, PLACE)
    assert entry is not None and entry.json("facts.json") == {"value": 2}
    assert not list(tmp_path.rglob(".draft-*"))


def _race(root: str, value: int, start: float) -> None:
    time.sleep(max(0.0, start - time.time()))
    write(Store(Path(root)), value)


def test_an_entry_is_read_without_knowing_its_key(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store)
    (path,) = store.entries()
    entry = store.open(path)
    assert (entry.key, entry.json("facts.json")) == (KEY, {"value": 1})
    (path.parent / ".draft-x").mkdir()
    assert store.entries() == [path]


@pytest.mark.parametrize("wrong", ["place", "hash", "stage", "field"])
def test_one_whose_key_is_not_that_of_its_place_is_refused(tmp_path: Path, wrong: str) -> None:
    store = Store(tmp_path)
    write(store)
    (path,) = store.entries()
    config = json.loads((path / "config.json").read_text())
    if wrong == "place":
        path = path.rename(path.parent / f"seed3-{'0' * 16}")
    elif wrong == "field":
        config["key"]["moon"] = "full"
    else:
        config[wrong] = {"hash": "0" * 64, "stage": "reference"}[wrong]
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(StoreError, match=str(path)):
        store.open(path)


def test_copies_appear_together_or_not_at_all(tmp_path: Path) -> None:
    store = Store(tmp_path / "a")
    write(store)
    (source,) = store.entries()
    batch = Batch(Store(tmp_path / "b"))
    final = tmp_path / "b" / source.relative_to(tmp_path / "a")
    for end in (batch.discard, batch.publish):
        with batch.copying(final) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
        assert not final.exists()
        end()
        assert final.exists() == (end == batch.publish) and not list(tmp_path.rglob(".draft-*"))
    assert tree_hash(final) == tree_hash(source)


@pytest.mark.slow
def test_racing_processes_leave_one_intact_entry(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = time.time() + 2
    workers = [context.Process(target=_race, args=(str(tmp_path), value, start)) for value in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    entry = Store(tmp_path).find(KEY, PLACE)
    assert entry is not None
    value = entry.json("facts.json")["value"]
    assert (entry.arrays("numbers.npz")["a"] == value).all(), "files of two writers are mixed"
    assert not list(tmp_path.rglob(".draft-*"))


def _write_and_hang(root: str) -> None:
    with Store(Path(root)).writing(KEY, PLACE, {}) as draft:
        draft.write_json("facts.json", {"value": 1})
        Path(root, "ready").touch()
        time.sleep(60)


def test_a_killed_writer_leaves_nothing_that_counts_and_is_cleaned_up(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_write_and_hang, args=(str(tmp_path),))
    process.start()
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    store = Store(tmp_path)
    assert store.clean() == 0, "the writer is alive, its draft is not to be touched"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert store.find(KEY, PLACE) is None
    assert store.clean() == 1
    assert not list(tmp_path.rglob(".draft-*"))


@pytest.mark.parametrize(("host", "removed"), [("gpu-1", 1), ("gpu-11", 0), ("cpu-1", 0), ("1", 0)])
def test_a_draft_of_another_machine_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, removed: int
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-1")
    draft = tmp_path / draft_name("seed3-0")
    draft.mkdir()
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert remove_dead_drafts([draft]) == removed == remove_dead_drafts([draft]), "also where it has gone meanwhile"
    assert draft.exists() == (not removed)


@pytest.mark.parametrize("missing", [0, 1, 3], ids=["it", "its folder", "the folders around"])
def test_what_another_machine_has_just_written_is_found_by_a_new_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    """On NFS: that it was not there is remembered until this machine changes the folder around it."""
    store, is_dir, mkdir = Store(tmp_path), Path.is_dir, Path.mkdir
    write(store)
    path = store.path(KEY, PLACE)
    missed, before = {(path, *path.parents)[missing]}, sorted(tmp_path.rglob("*"))

    def made(path: Path, *given: Any, **named: Any) -> None:
        mkdir(path, *given, **named)
        missed.difference_update([one for one in missed if one.parent == path.parent])

    monkeypatch.setattr(Path, "is_dir", lambda path: missed.isdisjoint((path, *path.parents)) and is_dir(path))
    monkeypatch.setattr(Path, "mkdir", made)
    assert store.find(KEY, PLACE) is None
    with store.looking_anew():
        assert store.find(KEY, PLACE) is not None
    other = Place("digits", "resnet18", "msg", 4)
    with store.looking_anew():
        assert store.find(KEY, other) is None
    monkeypatch.undo()
    assert sorted(tmp_path.rglob("*")) == before, "a look leaves nothing"


def test_truncated_payload_is_found_before_it_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store)
    path = store.path(KEY, PLACE) / "numbers.npz"
    path.write_bytes(path.read_bytes()[:-10])
    before = tree_hash(tmp_path)
    with pytest.raises(StoreError, match=r"numbers\.npz is damaged(.|\n)*remedy"):
        store.find(KEY, PLACE)
    assert tree_hash(tmp_path) == before


def test_a_flipped_byte_is_found_when_it_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store)
    path = store.path(KEY, PLACE) / "numbers.npz"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(bytes(damaged))
    entry = store.find(KEY, PLACE)
    assert entry is not None
    with pytest.raises(StoreError, match="not what was written"):
        entry.arrays("numbers.npz")


def test_an_edited_config_is_shown_with_its_difference(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store)
    path = store.path(KEY, PLACE) / "config.json"
    stored = json.loads(path.read_text())
    stored["key"]["forget_ratio"] = 0.2
    path.write_text(json.dumps(stored))
    with pytest.raises(StoreError, match=r"key\.forget_ratio is 0\.2 instead of 0\.1"):
        store.find(KEY, PLACE)


def test_pickles_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(AssertionError, match="pickles"), store.writing(KEY, PLACE, {}) as draft:
        draft.write_arrays("bad.npz", a=np.array([{"an": "object"}], dtype=object))


def note(message: str) -> FailureNote:
    return FailureNote(
        "evaluate",
        "digits",
        "resnet18",
        "msg",
        3,
        "c" * 16,
        "r" * 16,
        "failed",
        "ValueError",
        message,
        "Traceback ...",
        "2026-01-01T00:00:00+00:00",
    )


def test_failures_are_kept_when_they_repeat_and_when_they_are_overcome(tmp_path: Path) -> None:
    failures = Failures(tmp_path)
    assert failures.find(PLACE, "task") is None
    failures.record(PLACE, "task", note("first"))
    failures.record(PLACE, "task", note("second"))
    found = failures.find(PLACE, "task")
    assert found is not None and found["message"] == "second"
    failures.settle(PLACE, "task", "overcome")
    assert failures.find(PLACE, "task") is None
    kept = sorted(json.loads(path.read_text())["message"] for path in tmp_path.rglob("*.json"))
    assert kept == ["first", "second"]


def test_one_model_stands_in_several_tables(tmp_path: Path) -> None:
    """The first row has the key that all rows had before; its bytes stay as they are."""
    store, scores = Store(tmp_path), MetricsKey(subject=reference(), retrained=reference(), version=1)
    plain = RowKey(metrics=scores, search=GivenKey(protocol="paper", source="default"))
    assert find_row(store, plain, PLACE, "first") == (plain, None)
    found = {}
    for table in ("first", "second", "third"):
        key, missing = find_row(store, plain, PLACE, table)
        assert missing is None
        with store.writing(key, PLACE, {}) as draft:
            draft.write_json("row.json", {"result_set": table})
        found[table] = key
    assert found["first"] == plain and len({key.hash for key in found.values()}) == 3
    for table, key in found.items():
        again, entry = find_row(store, plain, PLACE, table)
        assert again == key and entry is not None and entry.json("row.json")["result_set"] == table
