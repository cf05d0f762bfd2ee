"""The most memory that the unlearning call needs at once."""

from __future__ import annotations

from deepunlearn.instruments.memory import Peak
from deepunlearn.metrics.added import Outputs

MEGABYTE = 1e6


def measure(outputs: Outputs) -> dict[str, float]:
    """Megabytes of tensors beyond those that are there before: data and original are, the working copy is not."""
    peak = Peak(outputs.call.runtime)
    outputs.call.unlearn(peak)
    return {"peak_MB": peak.bytes / MEGABYTE}
