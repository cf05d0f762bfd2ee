"""Small sweeps for tests of launchers, and what they leave."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from deepunlearn.config import read_command
from deepunlearn.core.claims import OWNER, Owner, read_owner
from deepunlearn.core.progress import Progress
from deepunlearn.launch.plan import Planner

WORK = (
    "arch=smallnet",
    "method=ft,msg",
    "train.epochs=2",
    "seeds=2",
    "search=quick",
    "search.trials=3",
    "search.max_epochs=2",
    "dataset.limit=400",
    "runtime.threads=1",
    "runtime.checkpoint_seconds=0",
)
TIMES = {"seconds", "retrain_seconds", "RTE", "date", "commit", "job"}


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Row per model, apart from times; the path holds the key."""
    return {
        str(path.relative_to(folder)): {
            name: value for name, value in json.loads(path.read_text()).items() if name not in TIMES
        }
        for path in folder.rglob("row.json")
    }


def owners(folder: Path) -> list[Owner]:
    """Who holds a claim below `folder`."""
    return [read_owner(path.read_text()) for path in folder.rglob(f"claims/**/[0-9]*/{OWNER}")]


def own_method(folder: Path, name: str, body: str) -> None:
    """A method `folder/name.py` whose run begins with `body` and then fine-tunes for an epoch."""
    folder.mkdir(exist_ok=True)
    code = '''
        import os, signal, time
        from pathlib import Path
        from deepunlearn.methods.base import Method
        from deepunlearn.ops.optim import descend

        class Own(Method):
            """Source: none. Searched: lr."""

            lr: float

            def run(self, problem):
                BODY
                problem.model.train()
                step = problem.step(problem.cross_entropy, problem.sgd(lr=self.lr))
                yield from descend(step, lambda: problem.batches(problem.retain, 64), [self.lr])
    '''
    (folder / f"{name}.py").write_text(textwrap.dedent(code).replace("BODY", body))
    (folder / f"{name}.yaml").write_text(
        textwrap.dedent(f"""
            # a method for tests
            name: {name}
            version: 1
            title: {name}
            paper: none
            reads: [retain]
            epoch_cost: 1
            space:
              lr: {{type: float, role: lr, default: 0.01, low: 0.001, high: 0.1, log: true, gt: 0, help: learning rate}}
        """).lstrip()
    )


def planner_of(root: Path, *arguments: str) -> Planner:
    """What is to be done of a sweep for SLURM on digits, which need no files."""
    work = ["method=ft,msg", "seeds=4", "search=quick", "search.trials=5", "arch=smallnet", "train.epochs=10"]
    command = read_command([*work, f"results={root}", "launcher=slurm", *arguments])
    return Planner(command.sweep, Progress(quiet=True))
