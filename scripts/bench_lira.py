"""The full-size U-LiRA attack on one method with invented confidences: 64 halvings x 10 forget sets, 60,000 samples.

    OMP_NUM_THREADS=1 python scripts/bench_lira.py [SAMPLES] [HALVINGS]

Prints rows of a Markdown table. For measuring pace and memory of `deepunlearn.ulira.attack`. Expected at full size:
well under 60 s and 2 GB; accuracy just below 0.691 and AUC just below 0.760 (Phi(1 / 2) and Phi(1 / sqrt 2): the
classes are one standard deviation apart, and the fits are estimates).
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
import numpy.typing as npt

from deepunlearn.core.provenance import machine
from deepunlearn.ulira.attack import attack
from deepunlearn.ulira.scores import Variance

FORGET_SETS = 10
Bools = npt.NDArray[np.bool_]


def invented(samples: int, halvings: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp], Bools, Bools]:
    """phi [M, n], halving [M], forgotten [M, n], never [M, n], filled model by model; each sample has its own mean."""
    generator = np.random.default_rng(0)
    models = halvings * FORGET_SETS
    halving = np.arange(models) // FORGET_SETS
    phi, forgotten, never = np.empty((models, samples), np.float32), *np.zeros((2, models, samples), bool)
    level = 3 * generator.standard_normal(samples, dtype=np.float32)
    for first in range(0, models, FORGET_SETS):
        train, held_out = np.array_split(generator.permutation(samples), 2)
        for model, forget in enumerate(np.array_split(train, FORGET_SETS), start=first):
            never[model, held_out] = forgotten[model, forget] = True
            phi[model] = generator.standard_normal(samples, dtype=np.float32) + level + forgotten[model]
    return phi, halving, forgotten, never


def peak_gigabytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def measured(samples: int, halvings: int, variances: tuple[Variance, ...] = ("sample", "pooled")) -> list[list[str]]:
    inputs = invented(samples, halvings)
    rows = []
    for variance in variances:
        start = time.perf_counter()
        attacked = attack(*inputs, variance=variance)
        seconds = time.perf_counter() - start
        size = f"{len(inputs[0])} x {samples:,}"
        quality = [f"{attacked.accuracy.value:.3f}", f"{attacked.auc.value:.3f}"]
        rows.append([size, variance, f"{seconds:.1f}", f"{peak_gigabytes():.2f}", *quality])
    return rows


def main(samples: int = 60_000, halvings: int = 64) -> None:
    rows = measured(samples, halvings)
    print("| models x samples | variance | seconds | peak GB | accuracy | AUC | processor |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} | {machine()} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
