"""Pace and memory of tables and report over the paper's full result set (invented, scripts/paper_rows.py).

    python scripts/bench_analysis.py [--repeats N] [--cells N]

Prints a Markdown table: the median of the repeats, and the highest sum of resident memory of all processes at one time.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from deepunlearn.core.provenance import commit, machine

EVERY = 0.05  # seconds between two looks at the memory


def measure(*command: str) -> tuple[float, float]:
    """(seconds, gigabytes) of a command and the processes that it starts."""
    before, peak = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(resident(pid) for pid in family(process.pid)))
        time.sleep(EVERY)
    assert process.returncode == 0, command
    return time.perf_counter() - before, peak / 1e9


def family(pid: int) -> Iterator[int]:
    """`pid` and all that descend from it."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:  # it has ended
        return
    for child in children:
        yield from family(int(child))


def resident(pid: int) -> int:
    """Bytes; pages that several processes share count in parts, so that the sum is what the machine gives."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024


def main(repeats: int, cells: int) -> None:
    print(
        f"{cells} cells, 18 methods, 10 seeds, 300 trials per search; {machine()}; commit {commit()}; "
        f"median of {repeats}\n"
    )
    print("| command | seconds | peak GB, all processes |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        made = [sys.executable, "scripts/paper_rows.py", folder, "--cells", str(cells)]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        for command in ("tables", "report"):
            taken = [
                measure("-m", f"deepunlearn.{command}", f"results={folder}", "compare=paper") for _ in range(repeats)
            ]
            seconds, memory = statistics.median(one for one, _ in taken), max(one for _, one in taken)
            print(f"| {command} | {seconds:.1f} | {memory:.2f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cells", type=int, default=9, help="only the first so many of the nine")
    given = parser.parse_args()
    main(given.repeats, given.cells)
