"""How often U-LiRA's 95 % intervals cover chance where nothing differs: rows of the table in docs/ulira.md.

    OMP_NUM_THREADS=1 python scripts/ulira_coverage.py [EXPERIMENTS]

Invented confidences in the design that runs: 12, 16, 32 and 64 halvings, 3 forget sets, 30 samples; about a minute.
Expected: 0.92 to 0.97 for accuracy and AUC.
"""

from __future__ import annotations

import sys

import numpy as np

from deepunlearn.forget.halves import draw_halvings
from deepunlearn.ulira.attack import Attacked, attack

PARTS, SAMPLES = 3, 30
CHANCE = {"accuracy": 0.5, "auc": 0.5, "tpr_at_1_in_100": 0.01, "tpr_at_1_in_1000": 0.001}


def experiment(halvings: int, seed: int) -> Attacked:
    """The attack on models that have nothing of the samples they forgot."""
    part = np.repeat(draw_halvings(SAMPLES, halvings, PARTS, np.random.RandomState(seed)), PARTS, axis=0)
    own = np.tile(np.arange(PARTS), halvings)[:, None]
    phi = np.random.default_rng(seed).normal(size=part.shape)
    return attack(phi, np.arange(len(part)) // (2 * PARTS), part == own, part < 0)


def covered(halvings: int, experiments: int) -> list[float]:
    """Share of intervals, by measure."""
    found = [experiment(halvings, seed) for seed in range(experiments)]
    pairs = [[(getattr(one, name), chance) for name, chance in CHANCE.items()] for one in found]
    hits = [[one.low <= chance <= one.high for one, chance in line] for line in pairs]
    return [float(share) for share in np.mean(hits, axis=0)]


if __name__ == "__main__":
    print("| halvings | accuracy | AUC | TPR at 1 % | TPR at 0.1 % |\n|---|---|---|---|---|")
    for halvings in (12, 16, 32, 64):
        shares = covered(halvings, int(sys.argv[1]) if len(sys.argv) > 1 else 500)
        print(f"| {halvings} | {' | '.join(f'{share:.3f}' for share in shares)} |", flush=True)
