"""How a SLURM job that runs out of time, or that makes way for another one, has itself requeued."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from deepunlearn.core import stopping
from deepunlearn.core.progress import Progress
from deepunlearn.core.slurm_job import facts_of

KILLED_WITHIN = 300  # seconds that SLURM has to end a job that it requeued
LOOK_SECONDS = 1.0  # between looks at whether the job was asked to stop
SPARE_SECONDS = 20.0  # before the time limit, for SLURM's controller to answer


class Requeue:
    """Has SLURM begin this job anew, at most `most` times, each time once.

    seconds: how long before the time limit SLURM sends SIGUSR2, or longer.
    """

    def __init__(self, most: int, seconds: float, progress: Progress) -> None:
        self.most, self.seconds, self.progress = most, seconds, progress
        self._lock, self._requeued = threading.Lock(), False

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """While the block runs, ask SLURM before the time limit, whatever is under way then: it will be done again.

        Work that comes to a point from which it can go on before that is to `leave` there.
        """
        ended = threading.Event()
        threading.Thread(target=self._watch, args=(ended,), daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _watch(self, ended: threading.Event) -> None:
        while not stopping.requested():
            if ended.wait(LOOK_SECONDS):
                return
        left = max(self.seconds / 2, self.seconds - SPARE_SECONDS)
        if stopping.reason() == signal.SIGUSR2 and not ended.wait(left):
            self._ask()

    def leave(self) -> None:
        """End this process, which was asked to stop; the job is requeued, unless it was told to end for good."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = self._ask()
        if code != 0:
            sys.exit(code)
        time.sleep(KILLED_WITHIN)

    def _ask(self) -> int:
        """The exit code; 0 where SLURM has agreed to requeue the job, and ends it now."""
        with self._lock:
            code = 0 if self._requeued else self._ask_once()
            self._requeued = code == 0
            return code

    def _ask_once(self) -> int:
        told_to_end = stopping.reason() == signal.SIGTERM
        if told_to_end and not _makes_way():
            self.progress.say("asked to end; what was done is kept")
            return 128 + signal.SIGTERM
        restarts = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
        why = "another job takes its place" if told_to_end else "time is nearly up"
        if restarts >= self.most:
            self.progress.say(f"{why} after {restarts} requeues (launcher.max_requeues); run the sweep's command again")
            return 1
        self.progress.say(f"{why}; what was done is kept, and the job is requeued")
        asked = subprocess.run(["scontrol", "requeue", _own_name()], capture_output=True, text=True, check=False)
        if asked.returncode != 0:
            self.progress.say(f"SLURM does not requeue it ({asked.stderr.strip()}); run the sweep's command again")
        return min(asked.returncode, 1)


def _own_name() -> str:
    """As `77_3`: the id of an array stands for all of its jobs, and one of them has it as its own."""
    array, number = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{number}" if array and number else os.environ["SLURM_JOB_ID"]


def _makes_way() -> bool:
    """Whether SLURM preempts the job. It requeues only what still runs when its GraceTime is over."""
    facts = facts_of(os.environ["SLURM_JOB_ID"]) or {}
    return facts.get("JobState") == "RUNNING" and facts.get("PreemptTime", "None") not in ("None", "Unknown")
