"""Who does what: claims on pieces of work that several processes, on several machines, could take up.

A claim is a folder of numbered folders that hold their owner's name from their first moment on. The last one counts. If
its owner is dead, the next number is free, and taking it is exclusive: of several takers exactly one gets the work.
Each number is a folder that was filled under another name and then renamed: a rename never replaces a folder that is
not empty. Hard links could do the same for files, but many file systems have none (exFAT, FUSE and network mounts).
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import time
import uuid
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from deepunlearn.core.slurm_job import facts_of
from deepunlearn.core.store import process_alive

ASK_AGAIN_SECONDS = 10  # an answer of SLURM's controller counts for so long
OWNER = "owner"  # the file in a numbered folder
ASIDE = ".released-"
# of a rename: the number is taken, or the folder around it was removed by a holder that gave it back
LOST = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.ENOENT)


class Owner(NamedTuple):
    """A process, and the SLURM job that it is part of, if any."""

    host: str
    pid: int
    start: str  # when the process began, in the kernel's ticks, so that a reused process number is not mistaken
    job: str  # SLURM's job id; empty outside
    restarts: int  # how often SLURM had requeued the job

    def __str__(self) -> str:
        return ":".join(str(field) for field in self)


def this_process() -> Owner:
    """Who we are."""
    job, restarts = os.environ.get("SLURM_JOB_ID", ""), int(os.environ.get("SLURM_RESTART_COUNT") or 0)
    return Owner(socket.gethostname(), os.getpid(), _start_of(os.getpid()), job, restarts)


def read_owner(text: str) -> Owner:
    """The owner whose `str` is `text`."""
    host, pid, start, job, restarts = text.rsplit(":", 4)
    return Owner(host, int(pid), start, job, int(restarts))


def alive(owner: Owner) -> bool:
    """Whether that process still works on what it claimed.

    A process of this machine is looked up. Of a SLURM job the controller is asked: an earlier run of a job that was
    requeued counts as dead even where its process was orphaned. Other processes of other machines cannot be asked and
    count as alive.
    """
    me = this_process()
    if owner.job and owner.job == me.job and owner.restarts < me.restarts:
        return False
    if owner.host == me.host:
        return process_alive(owner.pid) and _start_of(owner.pid) == owner.start
    if owner.job:
        return _job_runs(owner.job, owner.restarts, int(time.monotonic() / ASK_AGAIN_SECONDS))
    return True


@lru_cache(maxsize=1024)
def _job_runs(job: str, restarts: int, _asked_at: int) -> bool:
    """Whether this run of a SLURM job is under way. Without SLURM's commands, or an answer of them, it counts as so."""
    facts = facts_of(job)
    if facts is None:
        return True
    return facts.get("JobState") in ("RUNNING", "COMPLETING", "SUSPENDED") and int(facts.get("Restarts", 0)) == restarts


def _start_of(pid: int) -> str:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Claims:
    """Claims on named pieces of work, below one folder on a file system that all takers see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, name: str) -> bool:
        """Claim `name`; False while another living process, or this one, holds it."""
        number, owner = self._last(name)
        if owner is not None and alive(owner):
            return False
        return self._put(self.folder / name / f"{number + 1:04d}")

    def holder(self, name: str) -> Owner | None:
        """The living process that holds `name`, if any."""
        _, owner = self._last(name)
        return owner if owner is not None and alive(owner) else None

    def release(self, name: str) -> None:
        """Give `name` back, whether its work is done or not. For its holder only.

        All at once: where a removal is broken off, the numbers of dead holders before us would stay in the way.
        """
        aside = self.folder / f"{ASIDE}{uuid.uuid4().hex}"
        with suppress(FileNotFoundError):
            (self.folder / name).rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def held(self) -> dict[str, Owner]:
        """All names that living processes hold."""
        files = sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []
        names = (name for name in files if not name.startswith(ASIDE))
        return {name: owner for name in names if (owner := self.holder(name)) is not None}

    def _last(self, name: str) -> tuple[int, Owner | None]:
        """The last number and its owner, None where that is unreadable; (-1, None) where there is no claim."""
        try:
            last = max((path for path in (self.folder / name).iterdir() if path.name.isdigit()), default=None)
            return (-1, None) if last is None else (int(last.name), _owner_in(last))
        except FileNotFoundError:
            return -1, None  # none yet, or given back at this moment

    @staticmethod
    def _put(path: Path) -> bool:
        """Have `path` with our name in it; False where another process was first, or where it is to be tried again."""
        own = path.with_name(f".{uuid.uuid4().hex}")
        try:
            own.mkdir(parents=True)
            (own / OWNER).write_text(str(this_process()), encoding="utf-8")
            own.rename(path)
        except OSError as error:
            if error.errno not in LOST:
                raise
            return False
        finally:
            shutil.rmtree(own, ignore_errors=True)
        return True


def _owner_in(claim: Path) -> Owner | None:
    """The owner in a numbered folder, or in the file that earlier versions put there.

    A name is only cut off where the machine lost its power, so that the one who wrote it is dead.
    """
    text = (claim / OWNER if claim.is_dir() else claim).read_text(encoding="utf-8", errors="replace")
    try:
        return read_owner(text)
    except ValueError:
        return None
