"""Floating-point operations of the unlearning call, and of retraining beside it."""

from __future__ import annotations

from deepunlearn.instruments.flops import Counting
from deepunlearn.metrics.added import Call, Outputs

_known: dict[str, tuple[int, float]] = {}  # of calls that differ in their seed only, in this process


def measure(outputs: Outputs) -> dict[str, float | None]:
    """Operations of the call, and those of retraining / those of the call.

    Counted from the shapes of what runs, once for all seeds; nothing is timed. Retraining: operations of one step per
    sample of its batch x samples that training passes through. A call without products (0 operations) has no ratio.
    """
    call = outputs.call
    if call.alike not in _known:
        _known[call.alike] = _counted(call)
    own, retraining = _known[call.alike]
    return {"FLOPs": float(own), "FLOPs_ratio": retraining / own if own else None}


def _counted(call: Call) -> tuple[int, float]:
    """Operations of the call and of retraining."""
    own, step = Counting(), Counting()
    call.unlearn(own)
    samples = call.retrain_step(step)
    return own.flops, step.flops / samples * call.retrain_samples
