"""Which program on which machine: what every result and page says of its making."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

from deepunlearn import __version__


@cache
def machine() -> str:
    """The processor's name, as results name it; host names are nobody's business."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def cores() -> frozenset[int]:
    """The numbers of the cores that this process may use: a cluster's job, or `taskset`, may leave it a few of them."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS
    return frozenset(allowed(0) if allowed else range(os.cpu_count() or 1))


@cache
def commit() -> str:
    """The git commit of the running code, `+` appended where the code has changes; else the package version.

    What lies under results/ is not code: tables that a run has just rewritten would mark the next one.
    """
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists() or shutil.which("git") is None:
        return f"v{__version__}"
    head = _git(folder, "rev-parse", "--short=12", "HEAD")
    return head + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results") else "")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()
