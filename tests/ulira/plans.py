"""Who saw what in the tests of U-LiRA: halvings and the two roles of every observation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deepunlearn.forget.halves import Halves, HalvesForget, draw_halvings
from deepunlearn.ulira.attack_stage import pairs_of, roles


class Plan(NamedTuple):
    halving: npt.NDArray[Any]  # [M]; pairs of halvings, where these are drawn as production draws them
    positive: npt.NDArray[np.bool_]  # [M, n]
    negative: npt.NDArray[np.bool_]  # [M, n]


def halved(halvings: int, parts: int, samples: int, seed: int) -> Plan:
    """The design that runs: pairs of complementary halvings, each cut into forget sets; a pair is attacked as one."""
    none = np.empty(0, dtype=np.int64)
    part = draw_halvings(samples, halvings, parts, np.random.RandomState(seed))
    design = HalvesForget.model_construct(name="halves", halvings=halvings, parts=parts)  # smaller than may be run
    models = list(range(halvings * parts))
    found = roles(Halves(np.arange(samples), none, none, part), design, models, shared=False)
    return Plan(pairs_of(design, models), found["positive"]["forgotten"], found["never"])


def random_roles(halvings: int, models: int, samples: int, seed: int) -> Plan:
    """Roles drawn for each observation, rarer for some samples; halvings in no order and with gaps in their names."""
    generator = np.random.default_rng(seed)
    drawn = generator.random((halvings * models, samples))
    rarity = np.linspace(0, 0.5, samples)
    positive = drawn < rarity
    names = generator.choice(100, halvings, replace=False)
    return Plan(generator.permutation(np.repeat(names, models)), positive, ~positive & (drawn < 0.9))


def planted(plan: Plan, separation: float, spread: float = 1.0, seed: int = 0) -> npt.NDArray[np.float32]:
    """phi [M, n]: a mean and a scale per sample, negatives with spread 1, positives `separation` further on."""
    generator = np.random.default_rng(seed)
    samples = plan.positive.shape[1]
    noise = generator.standard_normal(plan.positive.shape) * np.where(plan.positive, spread, 1)
    scale = generator.uniform(0.5, 2, samples)
    return (generator.normal(0, 5, samples) + scale * (noise + separation * plan.positive)).astype(np.float32)
