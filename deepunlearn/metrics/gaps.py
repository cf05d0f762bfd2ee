"""How far accuracies are from the retrained model's, in one number that is always defined: `gap` and `ToW`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
PARTS = ("RA", "FA", "TA")


def gap(own: npt.ArrayLike, retrained: npt.ArrayLike) -> Floats:
    """Mean of the absolute differences of accuracies [..., parts], best 0: the "average gap" [...].

    Jia et al. 2023 (arXiv 2304.04934) and Fan et al. 2024 (SalUn, arXiv 2310.12508) take RA, FA (as 1 - FA), TA and
    the gap of an attack's accuracy; here the attack stays apart, as in RetDev and Indisc. NaN where one is missing.
    """
    return np.asarray(_apart(own, retrained).mean(axis=-1))


def tug_of_war(own: npt.ArrayLike, retrained: npt.ArrayLike) -> Floats:
    """Product of 1 - each absolute difference of accuracies [..., parts], best 1: ToW [...] of Zhao et al. 2024.

    arXiv 2406.01257, of RA, FA and TA. NaN where one is missing.
    """
    return np.asarray((1 - _apart(own, retrained)).prod(axis=-1))


def _apart(own: npt.ArrayLike, retrained: npt.ArrayLike) -> Floats:
    return np.abs(np.asarray(own, dtype=np.float64) - np.asarray(retrained, dtype=np.float64))
