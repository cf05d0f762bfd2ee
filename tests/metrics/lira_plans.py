"""Who saw what in the tests of U-LiRA: halvings and the two roles of every observation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Plan(NamedTuple):
    halving: npt.NDArray[Any]  # [M]
    positive: npt.NDArray[np.bool_]  # [M, n]
    negative: npt.NDArray[np.bool_]  # [M, n]


def halved(halvings: int, parts: int, samples: int, seed: int) -> Plan:
    """As the protocol draws it: each halving trains on half of the samples, each of its models forgets one part."""
    generator = np.random.default_rng(seed)
    models = halvings * parts
    positive, negative = np.zeros((2, models, samples), bool)
    for first in range(0, models, parts):
        train, held_out = np.array_split(generator.permutation(samples), 2)
        negative[first : first + parts, held_out] = True
        for model, forget in enumerate(np.array_split(train, parts), start=first):
            positive[model, forget] = True
    return Plan(np.arange(models) // parts, positive, negative)


def random_roles(halvings: int, models: int, samples: int, seed: int) -> Plan:
    """Roles drawn for each observation, rarer for some samples; halvings in no order and with gaps in their names."""
    generator = np.random.default_rng(seed)
    drawn = generator.random((halvings * models, samples))
    rarity = np.linspace(0, 0.5, samples)
    positive = drawn < rarity
    names = generator.choice(100, halvings, replace=False)
    return Plan(generator.permutation(np.repeat(names, models)), positive, ~positive & (drawn < 0.9))
