"""The noise floor of Indisc by the number of samples: prints the entries of `FLOORS` in deepunlearn/metrics/noise.py.

    OMP_NUM_THREADS=1 python scripts/null_bands.py [SIZE ...]

400 attacks per size on samples of one distribution, about a minute each on a busy core. To be run again when
`mia_accuracy` comes out differently.
"""

from __future__ import annotations

import sys

import numpy as np

from deepunlearn.metrics.noise import DRAWS, FLOORS, simulated


def entry(size: int) -> str:
    found = simulated(size, DRAWS)
    return f"    {size}: Floor({found.mean():.4f}, {np.quantile(found, 0.05):.4f}),"


if __name__ == "__main__":
    for size in map(int, sys.argv[1:] or FLOORS):
        print(entry(size), flush=True)
