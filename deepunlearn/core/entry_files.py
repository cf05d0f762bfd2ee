"""The files of a stored result: what is written about them, and the damage that is found by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepunlearn.core.errors import StoreError
from deepunlearn.core.identity import KEY_LENGTH, Key

_REMEDY = "move {path} out of the store to have it computed again, or restore it from a backup; nothing was changed"


def check_config(path: Path, key: Key) -> None:
    """Raises StoreError where the entry in folder `path` is not of `key`; says where they differ."""
    stored = read_json(path / "config.json")
    wanted = json.loads(json.dumps({"stage": key.stage, "hash": key.hash, "key": key.canonical()}))
    if stored != wanted:
        differences = "; ".join(_differences(wanted, stored))
        raise StoreError(
            f"the stored configuration {path / 'config.json'} does not match its key",
            given=differences,
            allowed=f"the configuration of key {key.hash[:KEY_LENGTH]}",
            remedy=_REMEDY.format(path=path),
        )


def _differences(wanted: Any, stored: Any, where: str = "") -> Iterator[str]:
    if isinstance(wanted, dict) and isinstance(stored, dict):
        for name in sorted(wanted.keys() | stored.keys()):
            missing = "(nothing)"
            yield from _differences(wanted.get(name, missing), stored.get(name, missing), f"{where}.{name}".strip("."))
    elif wanted != stored:
        yield f"{where} is {stored!r} instead of {wanted!r}"


def checked_meta(path: Path) -> dict[str, Any]:
    """The `meta.json` of the entry in folder `path`. Raises StoreError where a file has another size than it says."""
    meta: dict[str, Any] = read_json(path / "meta.json")
    if not isinstance(meta.get("files"), dict):
        raise damaged(path / "meta.json", "its list of files is missing")
    for name, recorded in meta["files"].items():
        size = (path / name).stat().st_size if (path / name).is_file() else None
        if size != recorded["bytes"]:
            state = "missing" if size is None else f"{size} bytes"
            raise damaged(path / name, f"{state} instead of {recorded['bytes']} bytes")
    return meta


def read_json(path: Path) -> Any:
    """Raises StoreError where `path` cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, how: str) -> StoreError:
    """What is wrong with the entry in folder `path`, or with a file of one."""
    entry = path.parent if path.suffix else path
    return StoreError(
        f"the stored result {path} is damaged",
        given=how,
        allowed="files as they were written",
        remedy=_REMEDY.format(path=entry),
    )


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of each file."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
