"""Where a deletion works and what it leaves: a folder that appears whole, or not at all.

All is made in a draft beside `out`, decoded images too, and the folder of results is renamed to `out` at the very end.
A draft of a process that was killed is removed by the next command with this `out`.
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import sync_contents, sync_folder
from deepunlearn.core.store import DRAFT, draft_name, remove_dead_drafts

WEIGHTS, JSON, PAGE = "model.safetensors", "report.json", "report.html"


class Place:
    """A draft folder: `cache` is removed with it, `results` becomes `out`."""

    def __init__(self, draft: Path, out: Path) -> None:
        self.cache, self.results, self._out = draft / "cache", draft / "results", out

    def publish(self) -> None:
        """Rename `results` to `out`, durably. Raises ConfigError where that has come about meanwhile."""
        sync_contents(self.results)
        try:
            self.results.rename(self._out)
        except OSError as error:
            raise _taken(self._out, error) from error
        sync_folder(self._out.parent)


@contextmanager
def place_for(out: Path) -> Iterator[Place]:
    """A draft for `out`, gone when the block ends. Raises ConfigError where there can be none."""
    out = out.absolute()
    draft = out.with_name(draft_name(out.name))
    try:
        remove_dead_drafts(out.parent.glob(f"{DRAFT}{glob.escape(out.name)}-*"))
        draft.mkdir()
        (draft / "results").mkdir()
    except OSError as error:
        raise _not_writable(out, error) from error
    try:
        yield Place(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # on NFS files that are mapped into memory stay until we end


def _not_writable(out: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "out= cannot be written",
        given=f"out={out}: {error.strerror}",
        allowed="a folder that is not there yet, in one that you may write to",
        remedy=f"make {out.parent}, or give another out=",
    )


def _taken(out: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "out= cannot be put in its place",
        given=f"out={out}: {error.strerror}",
        allowed="a folder that is not there yet",
        remedy="give another out=, or move away what is there, and run the command again",
    )
