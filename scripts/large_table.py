"""Measures how long a table of 1,000,000 rows and 50 columns takes to be read, and to be read again from the cache.

    python scripts/large_table.py [--rows N] [--in DIR]

Writes a CSV file of noise (40 columns of decimals, 5 of whole numbers, 4 of categories, and the classes), reads it in a
process of its own, twice, and prints wall time, processor time and the most memory that each took.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import DatasetConfig
from deepunlearn.data.decoded import load


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--in", dest="folder", type=Path, help="where the file and the cache go; else a temporary folder"
    )
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        read(given.folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        write(folder / "table.csv", given.rows)
        for name in ("first", "again"):
            print(f"{name}: ", end="", flush=True)
            subprocess.run([sys.executable, __file__, "--read", "--in", str(folder)], check=True)


def write(path: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    columns = {f"decimal {number}": random.normal(size=rows).round(4) for number in range(40)}
    columns |= {f"whole {number}": random.integers(0, 1000, rows) for number in range(5)}
    columns |= {
        f"category {number}": np.array(["red", "green", "blue"])[random.integers(0, 3, rows)] for number in range(4)
    }
    columns["class"] = np.array(list("abcde"))[random.integers(0, 5, rows)]
    csv.write_csv(pa.table(columns), path)


def read(folder: Path) -> None:
    config = DatasetConfig(name="table", title="", source="table", image_size=None, root=str(folder / "table.csv"),
                           target="class", test_ratio=0.2)  # fmt: skip
    wall, processor = time.perf_counter(), time.process_time()
    data = load(config, folder / "cache", Progress(quiet=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{data.train_images.shape} in {time.perf_counter() - wall:.1f} s, {time.process_time() - processor:.1f} s of "
        f"processor time, {peak:.2f} GB at most"
    )


if __name__ == "__main__":
    main()
