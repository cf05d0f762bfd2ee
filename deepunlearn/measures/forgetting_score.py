"""The forgetting score of the NeurIPS 2023 competition over the models of all report seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from deepunlearn.metrics.accuracy import Floats, accuracy
from deepunlearn.metrics.added import Group
from deepunlearn.metrics.forgetting import FEWEST, epsilons, largest_epsilon, points
from deepunlearn.metrics.resampled import Wide, levels
from deepunlearn.ulira.scores import scaled_confidence

VALUES = ("", "_low", "_high", "_chance", "_chance_low")


class _Side(NamedTuple):
    """phi [models, N] on D_F, and mean accuracies over models."""

    phi: Floats
    retain: float
    test: float


def measure(group: Group) -> dict[str, float | None]:
    """None of fewer models than `FEWEST`, and of no accuracy of the retrained models to take as the unit."""
    models = len(group.unlearned)
    names = [f"{score}{value}" for score in ("forgetting_score", "forgetting") for value in VALUES]
    known: dict[str, float | None] = {**dict.fromkeys(names), "epsilon_cap": None, "forgetting_models": float(models)}
    if models < FEWEST:
        return known
    own, other = _side(group, group.unlearned), _side(group, group.retrained)
    (level,) = levels(_score, own.phi[:, None], other.phi[:, None], group.seed)
    alone = (level.value, max(level.low, 0.0), min(level.high, 1.0), level.chance, level.chance_low)
    known["epsilon_cap"] = float(largest_epsilon(models))
    known.update(zip((f"forgetting{value}" for value in VALUES), alone, strict=True))
    if other.retain > 0 and other.test > 0:
        factor = own.retain / other.retain * own.test / other.test
        known.update(
            zip((f"forgetting_score{value}" for value in VALUES), (factor * one for one in alone), strict=True)
        )
    return known


def _side(group: Group, models: Sequence[Mapping[str, Floats]]) -> _Side:
    """Each model is read once."""
    labels = group.labels
    phi: list[Floats] = []
    rates: list[tuple[float, float]] = []
    for one in models:
        phi.append(scaled_confidence(one["forget"], labels["forget"]))
        rates.append((accuracy(one["retain"], labels["retain"]), accuracy(one["test"], labels["test"])))
    retain, test = np.mean(rates, axis=0).tolist()
    return _Side(np.stack(phi), retain, test)


def _score(unlearned: Floats, retrained: Floats) -> Wide:
    return np.array([points(epsilons(unlearned, retrained)).mean()])
