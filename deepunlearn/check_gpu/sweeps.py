"""Tiny sweeps in processes of their own: workers that share a device, and a method that asks for too much memory."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from deepunlearn.check_gpu.part import Outcome, Part, judged
from deepunlearn.check_gpu.where import Where
from deepunlearn.runtime import gpu_environments

TINY = ("dataset=digits", "dataset.limit=300", "arch=smallnet", "train.epochs=1", "seeds=1", "runtime.threads=1")
SEARCH = ("method=ft,ct", "search=quick", "search.trials=3", "search.max_epochs=1")
OF_THE_RUN = {"seconds", "retrain_seconds", "RTE", "date", "commit", "job"}  # columns that differ from run to run
LIMIT = 0.01  # of a score: a GPU adds in an order that no two runs share
HUGE = '''
    """More memory than any device has."""

    import torch

    from deepunlearn.methods.base import Method


    class Huge(Method):
        """Source: none."""

        lr: float

        def run(self, problem):
            weight = next(problem.model.parameters())
            torch.empty(2**50, device=weight.device)
            yield
'''
HUGE_YAML = """
    # more memory than any device has
    name: huge
    version: 1
    title: Huge
    paper: none
    reads: [retain]
    epoch_cost: 1.0
    space:
      lr: {type: float, role: lr, default: 0.01, low: 1e-5, high: 1e-1, log: true, gt: 0, help: learning rate}
"""


def listed(where: Where, folder: Path) -> Iterator[Part]:
    """folder: where sweeps may be stored."""
    yield Part("sweeps/two workers", partial(two_workers, where, folder / "workers"))
    yield Part("sweeps/out of memory", partial(out_of_memory, where, folder / "memory"))


def two_workers(where: Where, folder: Path) -> Outcome:
    """A sweep with two workers on the device has the rows of the same sweep with one."""
    option = "launcher.workers_per_gpu" if where.on_gpu else "launcher.workers"
    found = []
    for count in (1, 2):
        done = sweep(where, folder / str(count), *TINY, *SEARCH, f"{option}={count}")
        if done.returncode != 0:
            return Outcome("failed", f"the sweep with {option}={count} ended with {done.returncode}: {_end(done)}")
        found.append(rows(folder / str(count)))
    one, two = found
    apart = max((_apart(one[name], two[name]) for name in one.keys() & two.keys()), default=math.inf)
    figures = {"rows": f"{len(one)} and {len(two)}", "largest difference": f"{apart:.1e}", "limit": f"{LIMIT}"}
    return judged(one.keys() == two.keys() and apart <= LIMIT, f"{option}=1 and 2", figures)


def out_of_memory(where: Where, folder: Path) -> Outcome:
    """A method that the device has no memory for is noted as not run, and the next one has its row."""
    own = folder / "own"
    own.mkdir(parents=True, exist_ok=True)
    (own / "huge.py").write_text(textwrap.dedent(HUGE), encoding="utf-8")
    (own / "huge.yaml").write_text(textwrap.dedent(HUGE_YAML).lstrip(), encoding="utf-8")
    done = sweep(where, folder, *TINY, "method=huge,ft", "search=none", f"extra_methods={own.absolute()}")
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in folder.rglob("failure.json")]
    kinds = {f"{note['method']}: {note['kind']}" for note in notes}
    methods = {str(row["method"]) for row in rows(folder).values()}
    passed = done.returncode == 1 and kinds == {"huge: infrastructure"} and "ft" in methods and "huge" not in methods
    said = notes[0]["message"].splitlines()[0][:100] if notes else _end(done)
    return judged(passed, said, {"noted": ", ".join(sorted(kinds)), "rows": ", ".join(sorted(methods))})


def sweep(where: Where, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`deepunlearn sweep` on one device, from nothing."""
    shutil.rmtree(folder / "results", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    alone = gpu_environments()[0] if where.on_gpu else {}
    command = [sys.executable, "-m", "deepunlearn", "sweep", f"runtime.device={where.device}", *options]
    return subprocess.run(
        [*command, f"results={folder / 'results'}"], capture_output=True, text=True, check=False,
        env={**os.environ, **alone},
    )  # fmt: skip


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    """By where it is stored, which the key of a result decides: the row of a model, without what differs by run."""
    return {
        str(path.relative_to(folder)): {
            name: value
            for name, value in json.loads(path.read_text(encoding="utf-8")).items()
            if name not in OF_THE_RUN
        }
        for path in folder.rglob("row.json")
    }


def _apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of numbers; infinite where anything else differs."""
    if one.keys() != other.keys():
        return math.inf
    return max((_difference(one[name], other[name]) for name in one), default=0.0)


def _difference(one: Any, other: Any) -> float:
    if one == other:
        return 0.0
    return abs(one - other) if isinstance(one, float) and isinstance(other, float) else math.inf


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stderr or done.stdout).split())[-300:]
