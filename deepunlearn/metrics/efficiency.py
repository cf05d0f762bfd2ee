"""Run-time efficiency relative to retraining (Deep Unlearn, section 2, equation 4)."""

from __future__ import annotations


def rte(retrain_seconds: float | None, seconds: float | None) -> float | None:
    """RTE = RT(retrain) / RT(U), > 0, higher is faster, retraining itself has 1; None where either time is missing.

    Both in wall seconds, measured on the same device with the same threads in one process; the caller answers for that.
    """
    if retrain_seconds is None or seconds is None:
        return None
    assert retrain_seconds > 0 and seconds > 0, (retrain_seconds, seconds)
    return retrain_seconds / seconds
