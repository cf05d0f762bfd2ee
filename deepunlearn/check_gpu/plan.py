"""All parts of the check of a device, in the order in which they are done."""

from __future__ import annotations

from pathlib import Path

from deepunlearn.check_gpu import agreement, speed, sweeps, trials, uploads
from deepunlearn.check_gpu.part import Part
from deepunlearn.check_gpu.where import Where

__all__ = ["Where", "listed"]


def listed(where: Where, folder: Path) -> list[Part]:
    """What is short and says much comes first. folder: for what parts store."""
    compared = list(agreement.listed(where))
    return [
        *uploads.listed(where),
        *(part for part in compared if part.group == "graphs"),
        *sweeps.listed(where, folder / "sweeps"),
        *speed.listed(where, folder / "speed"),
        *trials.listed(where, folder / "trials"),
        *(part for part in compared if part.group == "agreement"),
    ]
