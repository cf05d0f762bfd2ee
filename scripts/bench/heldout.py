"""What benchmarks of searches share: sweeps that search on seeds of their own, and scores on seeds kept out of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from common import Options, command_of, experiment_of, sweep

from deepunlearn.cells import REFERENCES, hash_of
from deepunlearn.config import Command
from deepunlearn.core.errors import Diverged
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.progress import Progress
from deepunlearn.core.store import Entry
from deepunlearn.launch.estimate import Estimator
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.speed import Timing
from deepunlearn.runtime import Runtime
from deepunlearn.search.objective import WEIGHT, score
from deepunlearn.search.study import mia_seed
from deepunlearn.stages.evaluation import Experiment

FIRST_SEED = 1000  # that is searched on; report seeds count from 0, and each repeat has others
WORST = math.hypot(WEIGHT, WEIGHT, WEIGHT, 1.0)
DEFAULTS = "default values"


@dataclass(frozen=True)
class Plan:
    """What is searched, at the size that was asked for. A cell is its options: `arch=smallnet+forget.ratio=0.2`."""

    options: Options

    @property
    def searches(self) -> Sequence[str]:
        return self.options.searching.searches

    @property
    def repeats(self) -> range:
        return range(self.options.size(self.options.searching.repeats, 1))

    @property
    def methods(self) -> Sequence[str]:
        return self.options.searching.methods[: self.options.size(len(self.options.searching.methods), 1)]

    def arguments(self, cell: str, search: str, repeat: int, methods: Sequence[str]) -> list[str]:
        """Of the sweep of these methods in one repeat."""
        own, size = self.options.searching, self.options.size
        small = ("search.trials=2", "search.seeds=1", "search.population_size=null") if self.options.quick else ()
        reported = range(repeat * size(own.seeds, 1), (repeat + 1) * size(own.seeds, 1))
        first = FIRST_SEED + 100 * repeat
        name, changes = parted(search)
        recipe = (f"train.epochs={size(own.epochs, 1)}", "train.batch_size=64", "train.lr=0.05")
        return [
            f"search={name}", f"method={','.join(methods)}", *recipe, f"seeds=[{','.join(map(str, reported))}]",
            "protocol=heldout", f"protocol.first_search_seed={first}", "keep=logits", *small, *changes,
            *own.more, *cell.split("+"),
        ]  # fmt: skip

    def command(self, cell: str, search: str, repeat: int, methods: Sequence[str] | None = None) -> Command:
        """Of all methods, or of these."""
        return command_of(self.options, self.limit, *self.arguments(cell, search, repeat, methods or self.methods))

    def meant(self, cell: str, search: str, method: str) -> str:
        """A hash of what these names mean, whatever the repeat."""
        if (cell, search) not in self._meanings:
            sweep = self.command(cell, search, 0).sweep
            told = [one.model_dump(mode="json", exclude={"title", "paper"}) for one in sweep.methods]
            hashes = [hash_of([sweep.search.identity, one]) for one in told]
            self._meanings[cell, search] = dict(zip(self.methods, hashes, strict=True))
        return self._meanings[cell, search][method]

    @cached_property
    def _meanings(self) -> dict[tuple[str, str], dict[str, str]]:
        return {}

    def run(self, cell: str, search: str, repeat: int, methods: Sequence[str] | None = None) -> None:
        """The sweep, or what is left of it. That a method fails in it is a result."""
        arguments = self.arguments(cell, search, repeat, methods or self.methods)
        sweep(self.options, self.limit, *arguments, "confirm=true", with_failures=True)

    @property
    def limit(self) -> int:
        return self.options.size(self.options.searching.limit, 150)


def parted(search: str) -> tuple[str, list[str]]:
    """Of one that is compared: `thrifty+pruner=median` is search=thrifty with the option search.pruner=median."""
    name, *changes = search.split("+")
    return name, [f"search.{change}" for change in changes]


def seconds_left(commands: Iterable[Command], times: Callable[[Command], float]) -> float:
    """What sweeps of one cell would take; times: how often each model of a method is made there in the end.

    Originals are trained for the first sweep that needs them.
    """
    total, trained = 0.0, set[str]()
    for command in commands:
        planner = Planner(command.sweep, Progress(quiet=True), only_plan=True)
        timing = Timing(planner, Runtime(command.sweep.runtime), Progress(quiet=True))
        estimator = Estimator(planner, timing.complete(timing.of([0])))
        for task in planner.open_tasks():
            name = planner.task_id(task)
            if task.stage != "reference" or name not in trained:
                own = task.stage == "evaluate" and task.method not in REFERENCES
                total += estimator.task(task) * (times(command) if own else 1.0)
            trained.add(name)
    return total


@dataclass(frozen=True)
class HeldOut:
    """Scores of a method on the report seeds. What they take is kept, as all that a sweep makes."""

    experiment: Experiment
    command: Command
    method: MethodConfig

    @property
    def winner(self) -> Entry | None:
        """What the search of the sweep, which has ended, has chosen; None where no trial was completed."""
        keys = self.experiment.keys
        return self.experiment.store.find(keys.chosen_by(self.command.sweep, self.method), keys.place(self.method.name))

    def norm(self, params: dict[str, Value]) -> float:
        """The mean over report seeds."""
        seeds = self.command.sweep.report_seeds(self.experiment.cell)
        return math.fsum(self._norm(params, seed) for seed in seeds) / len(seeds)

    def _norm(self, params: dict[str, Value], seed: int) -> float:
        experiment = self.experiment
        try:
            logits = experiment.unlearned(self.method, params, seed, "logits").arrays("logits.npz")
        except Diverged:
            return WORST
        data = experiment.split_data(seed)
        accuracies = experiment.retrained_accuracies(seed)
        return score(logits, accuracies, data.labels, data.counted, mia_seed(experiment, seed)).norm


def held_out_of(command: Command) -> list[HeldOut]:
    """One for each method of a sweep of one cell."""
    experiment = experiment_of(command)
    return [HeldOut(experiment, command, method) for method in command.sweep.methods]
