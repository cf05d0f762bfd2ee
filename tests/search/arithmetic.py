"""Studies of methods that are arithmetic instead of training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from deepunlearn.core.claims import this_process
from deepunlearn.core.errors import Diverged
from deepunlearn.core.keys import StudyKey
from deepunlearn.core.params import Range
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.metrics.counted import EVERYTHING
from deepunlearn.search.objective import Losses
from deepunlearn.search.study import SlotStudy
from tests.keys import reference

REFERENCE = reference(arch="smallnet")


RANGES = {"x": Range(low=0.0, high=1.0), "batch_size": Range(choices=(64, 128)), "epochs": Range(low=1, high=8)}


def search(**changes: Any) -> Any:
    settings = {
        "sampler": "tpe",
        "objective": "sum",
        "trials": 8,
        "population_size": None,
        "prune": False,
        "pruner": "median",
        "look_samples": None,
        "stops_early": False,
        "together": 1,
        "storage": None,
        "space": "paper",
    }
    return SimpleNamespace(**{**settings, **changes})


class FakeExperiment:
    """Scores x by arithmetic; `behave(x)` may raise instead."""

    def __init__(self, root: Path, settings: Any, behave: Any = lambda x: None, starts: Any = None) -> None:
        self.results, self.progress, self.behave, self.asked = Results(root), Progress(quiet=True), behave, []
        self.seeds: list[int] = []
        self.groups: list[list[dict[str, Any]]] = []
        self.why_apart: str | None = None
        self.blocks = 1
        self.cell = SimpleNamespace(name="d/a", dataset=SimpleNamespace(name="d"), arch=SimpleNamespace(name="a"))
        key = StudyKey(
            original=REFERENCE,
            retrained=REFERENCE,
            method="m",
            method_version=1,
            ranges=RANGES,
            fixed={},
            sampler=settings.sampler,
            objective=settings.objective,
            population_size=settings.population_size,
            prune=settings.prune,
            pruner=settings.pruner,
            stops_early=settings.stops_early,
            version=1,
            starts=starts or {},
        )
        self.keys = SimpleNamespace(study=lambda *_: key)

    def split_data(self, seed: int) -> Any:
        """Enough samples for the attack, so that a trial has four losses."""
        return SimpleNamespace(labels=dict.fromkeys(("retain", "forget", "val"), np.zeros(20)), counted=EVERYTHING)

    def unlearn(self, method: Any, params: dict[str, Any], seed: int, on_epoch: Any = None, earlier: Any = None) -> Any:
        self.asked.append(params)
        self.seeds.append(seed)
        self.behave(params["x"])
        for epoch in range(1, params["epochs"] + 1):
            if on_epoch:
                on_epoch(epoch, params["x"])
        return params["x"], SimpleNamespace(seconds=0.1)

    def apart(self, method: Any, params: dict[str, Any], seed: int, earlier: Any = None) -> str | None:
        return self.why_apart

    def unlearn_together(self, method: Any, many: list[dict[str, Any]], seed: int, earlier: Any = None) -> list[Any]:
        self.groups.append(many)
        return [self._outcome(method, params, seed) for params in many]

    def _outcome(self, method: Any, params: dict[str, Any], seed: int) -> Any:
        try:
            return self.unlearn(method, params, seed)
        except Diverged as error:
            return error


METHOD: Any = SimpleNamespace(
    name="m",
    space={
        "x": SimpleNamespace(type="float", role=None),
        "batch_size": SimpleNamespace(type="int", role="batch_size"),
        "epochs": SimpleNamespace(type="int", role="epochs"),
    },
    complete=dict,
    from_search=lambda drawn, ranges, blocks: dict(drawn),
    to_search=lambda values, ranges, blocks: {name: ranges[name].nearest(value) for name, value in values.items()},
    epochs_of=lambda params: params["epochs"],
    first_look=0.25,
)


STARTS = {"defaults": {"x": 0.25, "batch_size": 64, "epochs": 3}, "digits/resnet18": {"x": 7.0, "epochs": 99}}


def arithmetic(experiment: Any, x: float, seed: int, samples: int | None = None) -> Losses:
    return Losses(abs(x - 0.3) / 3, x / 3, (1 - x) / 3, abs(x - 0.6))


def run(root: Path, settings: Any, behave: Any = lambda x: None) -> tuple[SlotStudy, FakeExperiment]:
    experiment = FakeExperiment(root, settings, behave)
    study = SlotStudy(experiment, METHOD, settings, (0,))  # type: ignore[arg-type]
    study.run()
    return study, experiment


def values(study: SlotStudy) -> list[tuple[int, dict[str, Any]]]:
    return [(slot, trial.params) for slot, trial in sorted(study.finished().items())]


def pretend_the_owner_died(root: Path) -> None:
    for claim in (root / "search" / "claims").rglob("*"):
        if claim.is_file():
            claim.write_text(str(this_process()._replace(pid=4194000)))
