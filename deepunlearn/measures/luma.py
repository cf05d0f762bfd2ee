"""LUMA, the Laplacian Unlearning Multidimensional Assessment of ERASURE's authors (under review at ICLR 2026)."""

from __future__ import annotations

from functools import lru_cache
from math import exp, log1p
from statistics import harmonic_mean

import numpy as np

from deepunlearn.measures.f1 import macro_f1
from deepunlearn.metrics.added import Outputs, attacked_losses
from deepunlearn.metrics.mia import shuffled_mia

STEEPNESS = 4  # of exp(-4 x), the Laplacian kernel
POWER = 3


def measure(outputs: Outputs) -> dict[str, float | None]:
    """The harmonic mean of utility, efficacy and efficiency.

    Utility exp(-4 (|F1_T gap| + |F1_F gap|)), efficacy exp(-4 |UMIA gap|), gaps to the retrained model; efficiency
    exp(-(log(1 + seconds) / log(1 + seconds of retraining))^3). The authors give memory a tenth of the efficiency,
    which is not known of stored models: here time has all of it.
    """
    parts = {"utility": _utility(outputs), "efficacy": _efficacy(outputs), "efficiency": _efficiency(outputs)}
    known = [part for part in parts.values() if part is not None]
    whole = harmonic_mean(known) if len(known) == len(parts) else None
    return {"LUMA": whole, **{f"LUMA_{name}": part for name, part in parts.items()}}


def _utility(outputs: Outputs) -> float:
    gaps = [
        abs(macro_f1(outputs, "logits", part) - macro_f1(outputs, "retrained", part)) for part in ("test", "forget")
    ]
    return exp(-STEEPNESS * sum(gaps))


def _efficacy(outputs: Outputs) -> float | None:
    own, retrained = (attacked_losses(outputs, model) for model in (outputs.logits, outputs.retrained))
    if own is None or retrained is None:
        return None
    target = _attack_on_retrained(*(one.tobytes() for one in retrained), outputs.seed)
    return exp(-STEEPNESS * abs(shuffled_mia(*own, outputs.seed) - target))


@lru_cache(maxsize=16)
def _attack_on_retrained(forgotten: bytes, unseen: bytes, seed: int) -> float:
    """Of its losses, float64; all models of a seed are held against the same one."""
    return shuffled_mia(np.frombuffer(forgotten), np.frombuffer(unseen), seed)


def _efficiency(outputs: Outputs) -> float | None:
    own, retrained = outputs.seconds["model"], outputs.seconds["retrained"]
    return None if own is None or retrained is None else exp(-((log1p(own) / log1p(retrained)) ** POWER))
