"""KLoM over the models of all report seeds (deepunlearn.metrics.klom)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from deepunlearn.metrics.accuracy import Floats
from deepunlearn.metrics.added import Group
from deepunlearn.metrics.klom import FEWEST, Bins, binned, klom_of_bins
from deepunlearn.metrics.remembered import of_read_only
from deepunlearn.metrics.resampled import Wide, levels
from deepunlearn.ulira.scores import scaled_confidence

PARTS = {"forget": "F", "retain": "R", "val": "V"}
VALUES = ("", "_low", "_high", "_chance", "_chance_high", "_95")
_of_retrained = of_read_only(scaled_confidence, kept=32)  # of ten seeds and three parts; the same beside all methods


def measure(group: Group) -> dict[str, float | None]:
    """None of fewer models than `FEWEST`, and of a part without samples."""
    models = len(group.unlearned)
    known: dict[str, float | None] = {f"KLoM_{letter}{value}": None for letter in PARTS.values() for value in VALUES}
    if models >= FEWEST:
        parts = {part: letter for part, letter in PARTS.items() if len(group.labels[part])}
        unlearned = _margins(group.unlearned, group, parts, scaled_confidence)
        retrained = _margins(group.retrained, group, parts, _of_retrained)
        for part, letter in parts.items():
            sides = unlearned[part][:, None], retrained[part][:, None]
            mean, far = levels(_mean_and_far, *sides, group.seed, prepared=binned)
            own = (mean.value, max(mean.low, 0.0), mean.high, mean.chance, mean.chance_high, far.value)
            known.update(zip((f"KLoM_{letter}{value}" for value in VALUES), own, strict=True))
    return {**known, "KLoM_models": float(models)}


def _margins(
    models: Sequence[Mapping[str, Floats]], group: Group, parts: Mapping[str, str], confidence: Callable[..., Floats]
) -> dict[str, Floats]:
    """By part log p / (1 - p) of the label, [models, N]; each model is read once."""
    rows = [{part: confidence(one[part], group.labels[part]) for part in parts} for one in models]
    return {part: np.stack([row[part] for row in rows]).astype(np.float32) for part in parts}


def _mean_and_far(unlearned: Bins, retrained: Bins) -> Wide:
    found = klom_of_bins(unlearned, retrained)
    return np.array([found.mean(), np.quantile(found, 0.95)])
