"""Compiled networks: graphs are built outside the clocks, and no method finds those of another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file

from deepunlearn.config import read_command
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.store import Entry
from deepunlearn.runtime import Clock, Runtime
from deepunlearn.stages.evaluation import Experiment
from deepunlearn.testing.small import equal_states
from tests import witness

OPTIONS = (
    "dataset=folder", f"dataset.image_size={witness.SIZE}", "arch=smallnet", "train.epochs=2", "train.batch_size=16",
    "forget.ratio=0.2", "search=none", "seeds=1", "runtime.compile=aot_eager", "runtime.threads=1",
    "method=ft,ngplus",
)  # fmt: skip


def graphs() -> int:
    """How many this process has built."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


class CountingClock(Clock):
    """Counts the graphs that are built while it runs."""

    made: ClassVar[list[CountingClock]] = []
    built = 0

    def start(self) -> None:
        super().start()
        self._before = graphs()

    def stop(self) -> None:
        self.built += graphs() - self._before
        super().stop()


class CountingRuntime(Runtime):
    def clock(self) -> Clock:
        CountingClock.made.append(CountingClock(self))
        return CountingClock.made[-1]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    folder = tmp_path_factory.mktemp("graphs")
    witness.write_numbered(folder / "images")
    sweep = read_command([*OPTIONS, f"dataset.root={folder / 'images'}"]).sweep
    torch._dynamo.reset()
    here = Experiment(sweep.cells[0], Results(folder / "out"), CountingRuntime(sweep.runtime), Progress(quiet=True))
    here.reference("original", 0)
    yield here
    torch._dynamo.reset()


METHODS = {method.name: method for method in read_command([*OPTIONS]).sweep.methods}
PARAMS = {name: method.complete({"epochs": 2}) for name, method in METHODS.items()}


def report(experiment: Experiment, name: str) -> Entry:
    return experiment.unlearned(METHODS[name], PARAMS[name], 0, "weights")


@pytest.mark.slow
def test_no_graph_is_built_while_unlearning_or_a_retrain_step_is_timed(experiment: Experiment) -> None:
    """NG+ runs in evaluation mode, FT in training mode; both have a smaller last batch."""
    for name in METHODS:
        CountingClock.made.clear()
        report(experiment, name)
        *steps, for_nothing, timed = CountingClock.made
        assert for_nothing.built > 0, "it was compiled"
        assert [clock.built for clock in (*steps, timed)] == [0] * (len(steps) + 1), name
        assert len(steps) == (name == "ft"), "retrain steps are timed once"


@pytest.mark.slow
def test_numbers_are_those_of_a_run_that_builds_its_graphs_on_the_way(experiment: Experiment) -> None:
    entry = report(experiment, "ngplus")
    experiment.runtime.graphs_of("somebody else")
    before = graphs()
    cold, _ = experiment.unlearn(METHODS["ngplus"], PARAMS["ngplus"], 0)
    assert graphs() > before, "graphs were built on the way"
    assert equal_states(cold.state_dict(), load_file(entry.file("weights.safetensors")))


@pytest.mark.slow
def test_what_ran_before_does_not_decide_whether_a_method_is_compiled(experiment: Experiment) -> None:
    """With a limit of one graph for each network, what FT has built would leave none for NG+."""
    found: dict[str, list[int]] = {}
    with torch._dynamo.config.patch(recompile_limit=1):
        experiment.runtime.graphs_of("nobody")
        for name in ("ft", "ngplus", "ft", "ngplus"):
            before = graphs()
            experiment.unlearn(METHODS[name], PARAMS[name], 0)
            found.setdefault(name, []).append(graphs() - before)
    assert all(first == second > 0 for first, second in found.values()), found
