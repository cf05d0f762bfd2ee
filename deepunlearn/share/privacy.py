"""What of a run and of its results says where they lie: nothing of that leaves the machine."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# a path from the root or the home folder, or an address, which may hold a password
ELSEWHERE = re.compile(r"""(^|[\s"'\[{:,(=])(/[\w.]|~\w*/|[A-Za-z]:[\\/])|://""")
OF_THE_MACHINE = ("launcher", "results")  # settings of a sweep: accounts, partitions, folders
TEXTS = (".json", ".csv")


def public_settings(sweep: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a sweep without paths from the root, addresses, launcher and results folder."""
    kept = {name: value for name, value in sweep.items() if name not in OF_THE_MACHINE}
    shown: dict[str, Any] = _public(kept)
    return shown


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _public(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_public(item) for item in value]
    return None if isinstance(value, str) and ELSEWHERE.search(value) else value


def paths_in(value: Any) -> Iterator[Path]:
    """The paths from the root in the configuration of a sweep: of data, of lists of samples."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from paths_in(item)
    elif isinstance(value, str) and Path(value).is_absolute():
        yield Path(value)


def public_command(command: str) -> str:
    """The command of a sweep without such words."""
    words = shlex.split(command)
    kept = [word for word in words if not ELSEWHERE.search(word) and re.split(r"[=.]", word)[0] not in OF_THE_MACHINE]
    return shlex.join(kept)


def folders_named(entry: Path, folders: Iterable[Path]) -> list[str]:
    """Which of these folders of this machine the texts of an entry name: a method of one's own may note anything."""
    names = {str(folder) for folder in folders if folder != Path(folder.anchor)}
    texts = [path.read_text(encoding="utf-8") for path in sorted(entry.iterdir()) if path.suffix in TEXTS]
    return [name for name in sorted(names) if any(_names(name, text) for text in texts)]


def _names(folder: str, text: str) -> bool:
    return re.search(rf"(?<![\w./-]){re.escape(folder)}(?![\w.-])", text) is not None
