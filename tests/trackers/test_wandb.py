"""What W&B's own record type finds in the file of an offline run."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepunlearn.trackers import open_tracker
from tests.trackers.made import EVALUATION, MEASURED, SEARCH

pytestmark = pytest.mark.slow
BLOCK, HEADER, BEFORE = 32768, 7, 7  # LevelDB's log format, behind seven bytes of W&B's


def pieces(content: bytes) -> Iterator[bytes]:
    """The records of a log: each piece has a checksum, its length and which part of a record it is."""
    record, at = b"", BEFORE
    while at + HEADER <= len(content):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        _, length, part = struct.unpack_from("<IHB", content, at)
        record += content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if part in (1, 4):  # whole, or the last
            yield record
            record = b""


def records(path: Path) -> dict[str, list[Any]]:
    """By kind."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[str, list[Any]] = {}
    for piece in pieces(path.read_bytes()):
        record = Record.FromString(piece)
        kind = record.WhichOneof("record_type")
        found.setdefault(kind, []).append(getattr(record, kind))
    return found


def items(values: Any) -> dict[str, Any]:
    return {one.key or ".".join(one.nested_key): json.loads(one.value_json) for one in values}


def test_an_offline_run_is_read_back_and_told_again_stands_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    tracker = open_tracker("wandb", tmp_path)
    for run in (EVALUATION, SEARCH, MEASURED):
        tracker.write(run, tracker.begin(run))
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2
    (path,) = tmp_path.glob(f"wandb/offline-run-*-{EVALUATION.short}/*.wandb")
    found = records(path)
    (run,) = found["run"][:1]
    assert (run.project, run.run_group, run.job_type) == ("deepunlearn", EVALUATION.cell, "evaluation")
    assert run.display_name == EVALUATION.title
    config = items(run.config.update)
    assert config["params.lr"] == 0.01 and config["files"] == {"row": "/somewhere/rows/ft"}
    history = [items(one.item) for one in found["history"]]
    assert [one["train/loss"] for one in history] == [2.5, 1.25] and history[1]["trial/seed0/norm"] == 0.5
    summary = {name: value for one in found["summary"] for name, value in items(one.update).items()}
    assert {name: summary[name] for name in MEASURED.scores} == MEASURED.scores
    assert "exit" in found


def test_the_users_folder_and_project_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "theirs"))
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    tracker = open_tracker("wandb", tmp_path / "ours")
    monkeypatch.setenv("WANDB_ENTITY", "we")
    assert tracker.elsewhere == str(tmp_path / "theirs")
    assert tracker.told_to == f"{tmp_path / 'theirs'} entity we project mine"
    tracker.write(SEARCH, tracker.begin(SEARCH))
    (path,) = tmp_path.glob("theirs/wandb/offline-run-*/*.wandb")
    assert records(path)["run"][0].project == "mine" and not (tmp_path / "ours").exists()
