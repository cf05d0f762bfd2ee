"""Divergence from the retrained model, with that between retrained models of two seeds as its unit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from deepunlearn.metrics.added import Group
from deepunlearn.metrics.divergence import apart
from deepunlearn.metrics.remembered import of_read_only

PARTS = {"R": "retain", "F": "forget", "T": "test"}
FEWEST = 3  # seeds: with two there is no interval
_between_retrained = of_read_only(apart, kept=32)  # of ten seeds and three parts; the same beside all methods


def measure(group: Group) -> dict[str, float | None]:
    """For D_R, D_F and D_T the mean over seeds of JS(unlearned, retrained) over that of JS(retrained, next seed's).

    Around it the interval of the jackknife over seeds, each with its two divergences, by the t distribution.
    """
    models = len(group.unlearned)
    values: dict[str, float | None] = {"JS_seeds_models": float(models)}
    own = _divergences(group) if models >= FEWEST else None
    for number, letter in enumerate(PARTS):
        names = [f"JS_{letter}_seeds{end}" for end in ("", "_low", "_high", "_chance")]
        found = (None,) * 3 if own is None else _ratio(own[..., number])
        values.update(zip(names, (*found, None if found[0] is None else 1.0), strict=True))
    return values


def _divergences(group: Group) -> npt.NDArray[np.float64]:
    """[2, seeds, parts]: of each seed JS to the retrained model, and of that to the next seed's retrained one."""
    pairs = []
    for seed, unlearned in enumerate(group.unlearned):
        retrained, other = group.retrained[seed], group.retrained[(seed + 1) % len(group.retrained)]
        own = [apart(retrained[part], unlearned[part])[1] for part in PARTS.values()]
        pairs.append([own, [_between_retrained(retrained[part], other[part])[1] for part in PARTS.values()]])
    return np.array(pairs).swapaxes(0, 1)


def _ratio(pairs: npt.NDArray[np.float64]) -> tuple[float | None, float | None, float | None]:
    """Ratio of the means of pairs [2, seeds], and its 95 % interval; None where the second is 0 without some seed."""
    seeds = pairs.shape[1]
    totals = pairs.sum(axis=1, keepdims=True)
    without = totals - pairs
    if not (without[1] > 1e-12).all():
        return None, None, None
    left_out = without[0] / without[1]
    width = t.ppf(0.975, seeds - 1) * np.sqrt((seeds - 1) / seeds * ((left_out - left_out.mean()) ** 2).sum())
    value = float(totals[0, 0] / totals[1, 0])
    return value, max(0.0, float(value - width)), float(value + width)
