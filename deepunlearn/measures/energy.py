"""Energy of the unlearning call, and of retraining beside it."""

from __future__ import annotations

from collections.abc import Callable

from deepunlearn.instruments.energy import Joules, meters_of
from deepunlearn.metrics.added import Outputs

SECONDS = 1.0  # least time that is metered: meters tick every millisecond to tenth of a second


def measure(outputs: Outputs) -> dict[str, float | None]:
    """Joules of the call, and those of retraining / those of the call.

    Retraining: joules of steps per sample of their batches x samples that training passes through. What takes less
    than a second is repeated until it has taken one. Raises NotApplicable where the device has no meter.
    """
    call = outputs.call
    meters = meters_of(call.runtime)
    own, steps = (Joules(call.runtime, meters) for _ in range(2))

    def unlearn() -> int:
        call.unlearn(own)
        return 1

    calls = _long_enough(unlearn, own)
    call.retrain_step(Joules(call.runtime, meters))  # the first is slower than those that follow
    samples = _long_enough(lambda: call.retrain_step(steps), steps)
    joules = own.joules / calls
    return {
        "energy_J": joules,
        "energy_ratio": steps.joules / samples * call.retrain_samples / joules if joules else None,
    }


def _long_enough(work: Callable[[], int], metered: Joules) -> int:
    """Repeat `work` for at least so many metered seconds; the sum of what it gives."""
    total = work()
    while metered.seconds < SECONDS:
        total += work()
    return total
