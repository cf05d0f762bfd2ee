"""What the benchmarks share: tasks that take turns, ratios of what they took, the table, the cell they work on."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Protocol

import torch

from deepunlearn.config import Command, read_command
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.provenance import commit, machine
from deepunlearn.runtime import Runtime
from deepunlearn.stages.evaluation import Experiment


@dataclass(frozen=True)
class Searching:
    """What `searches` and `transfer` compare. searches: the first is the baseline; more: options of all sweeps.

    archs: of searches; cells: of transfer, each with options of its own: `arch=smallnet+forget.ratio=0.2`.
    """

    searches: Sequence[str]
    methods: Sequence[str]
    archs: Sequence[str]
    cells: Sequence[str]
    dataset: str
    limit: int
    epochs: int
    repeats: int
    seeds: int
    more: Sequence[str]
    curves: Path | None  # of searches: where curves are kept


@dataclass(frozen=True)
class Options:
    """data: class folders of images (DIR/train/CLASS/*.jpg, DIR/test/...); quick: tiny sizes, to see that it runs;
    scratch: where sweeps are stored; figures: where figures go; None: nowhere."""

    data: Path
    quick: bool
    scratch: Path
    figures: Path | None
    searching: Searching

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(frozen=True)
class Taken:
    """What was measured in each repeat: seconds, of `images` images if that is worth saying, or a count."""

    label: str
    values: Sequence[float]
    images: int = 0
    unit: str = "s"

    def __str__(self) -> str:
        middle = statistics.median(self.values)
        pace = f" ({self.images / middle:,.0f} images/s)" if self.images else ""
        return f"{self.label}: {_shown(middle, self.unit)}{pace}"


class Line(Protocol):
    """A row of a table whose columns are these."""

    @property
    def columns(self) -> Sequence[str]: ...

    def cells(self) -> list[str]: ...


@dataclass(frozen=True)
class Row:
    """A / B repeat by repeat, as the machine's speed drifts; the row shows median and quartiles of these ratios."""

    columns: ClassVar[tuple[str, ...]] = ("measure", "A", "B", "A / B", "middle half", "goal", "met", "repeats")
    measure: str
    a: Taken
    b: Taken
    goal: str = ""  # e.g. ">= 1.35"

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.a.values, self.b.values, strict=True)]

    def cells(self) -> list[str]:
        ratio = statistics.median(self.ratios)
        low, _, high = statistics.quantiles(self.ratios * 2, method="inclusive")  # twice: one repeat has quartiles too
        met = ("yes" if _met(ratio, self.goal) else "no") if self.goal else ""
        return [
            self.measure,
            str(self.a),
            str(self.b),
            _ratio(ratio),
            f"{_ratio(low)} to {_ratio(high)}",
            self.goal,
            met,
            str(len(self.ratios)),
        ]


def _met(ratio: float, goal: str) -> bool:
    sign, _, limit = goal.partition(" ")
    return {">=": ratio >= float(limit), "<=": ratio <= float(limit)}[sign]


def _ratio(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}" if value < 2 else f"{value:.2f}"


def _shown(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:,.0f} {unit}" if value >= 10 or value == int(value) else f"{value:.4f} {unit}"
    return f"{1000 * value:.1f} ms" if value < 1 else f"{value:.2f} s"


def added(*several: Sequence[float]) -> list[float]:
    """The sum in each repeat."""
    return [sum(values) for values in zip(*several, strict=True)]


# ------------------------------------------------------------------------------------------------------------ the table


def markdown(name: str, text: str, command: str, rows: Sequence[Line], others: str) -> str:
    """The page of one benchmark; others: what `Others` says."""
    made = f"{machine()}, {torch.get_num_threads()} threads, {others}; torch {torch.__version__}; commit {commit()}"
    columns = rows[0].columns
    lines = [f"# {name}", "", f"`{command}`; {made}; {datetime.now(UTC):%Y-%m-%d}.", "", text, "", _line(columns)]
    lines += [_line(["---"] * len(columns)), *(_line(row.cells()) for row in rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


class Others:
    """What the machine did beside us since this was made: two processes that share cores spoil each other's times."""

    def __init__(self) -> None:
        self._before = _all_busy(), _we_busy(), time.perf_counter()

    def __str__(self) -> str:
        everything, ours, wall = (
            now - then for now, then in zip((_all_busy(), _we_busy(), time.perf_counter()), self._before, strict=True)
        )
        share = max(0.0, everything - ours) / (wall * (os.cpu_count() or 1))
        return f"{share:.0%} of the cores taken by others" if everything else "other processes unknown"


def _all_busy() -> float:
    """Seconds that the cores have worked for anybody; 0 where the system does not say."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _, _, irq, softirq, *_ = map(int, stat.read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _we_busy() -> float:
    """Seconds that this process and those it has waited for have worked."""
    return sum(os.times()[:4])


# ------------------------------------------------------------------------------------------------------------- the cell


def _arguments(options: Options, limit: int, *more: str) -> list[str]:
    """Each option once: of several values the last, as a cell may have another dataset or limit than the others."""
    named = dict(one.split("=", 1) for one in more)
    data = named.get("dataset", options.searching.dataset)
    folder = {"dataset.source": "folder", "dataset.root": options.data.absolute()} if data == "cifar10" else {}
    own = {"dataset": data, **folder, "dataset.limit": limit, "results": options.scratch / "results"}
    return [f"{name}={value}" for name, value in {**own, **named}.items()]


def command_of(options: Options, limit: int, *more: str) -> Command:
    """A sweep on `limit` training images of `options.data`, which stand for CIFAR-10."""
    return read_command(_arguments(options, limit, *more))


def sweep(options: Options, limit: int, *more: str, with_failures: bool = False) -> None:
    """Run it, as a process that chooses its own threads; with_failures: a task of it may fail, e.g. diverge."""
    command = [sys.executable, "-m", "deepunlearn.sweep", *_arguments(options, limit, *more)]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0 or (with_failures and done.returncode == 1), done.stdout + done.stderr


def runtime(*options: str) -> Runtime:
    """As a sweep sets this process up, by default or with `options`: threads, CPU kernels."""
    return Runtime(read_command(options).sweep.runtime).settle()


def experiment_of(command: Command) -> Experiment:
    """The first cell of a sweep, ready to compute."""
    sweep = command.sweep
    return Experiment(
        sweep.cells[0], Results(Path(sweep.results)), Runtime(sweep.runtime).settle(), Progress(quiet=True)
    )
