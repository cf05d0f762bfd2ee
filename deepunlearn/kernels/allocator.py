"""Memory: what a step frees is kept for the next, which needs the same again."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
THERE = hasattr(ctypes.CDLL(None), "mallopt")  # glibc has it


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, up to 2 GB, for the rest of this process.

    By default it hands it back to the system, which then clears each page anew: 5,000 to 20,000 page faults and 5 to
    15 % of a training step on a CPU (docs/performance.md). Does nothing with another C library.
    """
    if THERE:
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
