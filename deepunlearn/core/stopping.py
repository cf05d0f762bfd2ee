"""Being asked to stop: work ends at the next point from which it can go on later."""

from __future__ import annotations

import signal
from types import FrameType

SIGNALS = (signal.SIGUSR2, signal.SIGTERM)  # SLURM's warning before the time limit; what ends a process politely


class Stopped(BaseException):
    """Work ended early because it was asked to; what it did so far is kept. No failure: nothing may catch it as one."""


_reason: signal.Signals | None = None


def listen() -> None:
    """From now on, SIGUSR2 and SIGTERM ask this process to stop instead of ending it.

    SIGCONT, which SLURM sends just before, gets no handler of Python's: one that logs could swallow what follows.
    """
    signal.signal(signal.SIGCONT, signal.SIG_DFL)
    for number in SIGNALS:
        signal.signal(number, _request)


def _request(number: int, frame: FrameType | None) -> None:
    global _reason  # noqa: PLW0603  a signal is the process's
    _reason = signal.Signals(number)


def requested() -> bool:
    return _reason is not None


def reason() -> signal.Signals | None:
    """The signal that asked, the last one of several."""
    return _reason


def check() -> None:
    """To be called where work can be left and taken up again. Raises Stopped where it was asked for."""
    if _reason is not None:
        raise Stopped
