"""What it takes until a command answers.

Whole processes, Python's own start included. A: measured, B: the limit.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from common import Options, Row, Taken

from deepunlearn.instruments.turns import Task, turns

SWEEP = ["-m", "deepunlearn.sweep"]
COMMANDS = {
    "import deepunlearn": (["-c", "import deepunlearn"], 0.2),
    "python -m deepunlearn.sweep --help": ([*SWEEP, "--help"], 2.5),
    "python -m deepunlearn.sweep sweep=paper launcher=slurm plan=true": (
        [*SWEEP, "sweep=paper", "launcher=slurm", "plan=true"],
        10.0,
    ),
}


def rows(options: Options) -> list[Row]:
    repeats = options.size(5, 1)
    tasks = {name: _process(arguments, options.scratch) for name, (arguments, _) in COMMANDS.items()}
    taken = turns(repeats, tasks, warm_up=not options.quick)
    return [
        Row(name, Taken("measured", taken[name]), Taken("limit", [limit] * repeats), "<= 1")
        for name, (_, limit) in COMMANDS.items()
    ]


def _process(arguments: list[str], folder: Path) -> Task:
    """Run in `folder`, where nothing is stored and no images are."""
    return lambda: subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True, cwd=folder)
