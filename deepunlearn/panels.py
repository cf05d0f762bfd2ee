"""What `report panels=true` shows of each method's models: class-activation maps and losses, from the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from deepunlearn.analysis.figures.loss_change import MODELS
from deepunlearn.analysis.page.panels import Model, Sample
from deepunlearn.cells import REFERENCES
from deepunlearn.core.errors import ConfigError, NotApplicable
from deepunlearn.core.keys import UnlearnedKey
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.store import Place
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import load_sweep
from deepunlearn.launch.task import Task
from deepunlearn.metrics.accuracy import losses
from deepunlearn.ops.class_maps import require_package
from deepunlearn.runtime import Runtime
from deepunlearn.stages.panels import PARTS, UNLEARNED, Panel, PanelStage
from deepunlearn.stages.references import Logits

COMPARED = ("forget", "test")  # parts whose losses are drawn


def collect(results: Path, progress: Progress) -> list[Model]:
    """Of each result set and method the stored model of the lowest seed; maps that are not stored are computed.

    Raises ConfigError where the package grad-cam is missing, or no sweep was run here.
    """
    require_package()
    runs = sorted(Results(results).runs.glob("*/sweep.json"))
    if not runs:
        raise ConfigError(
            "panels=true needs the results folder that the sweep wrote into",
            given=f"results={results}, without the configuration of a sweep in runs/",
            allowed="a folder with runs/ and store/",
            remedy="make the page where the sweep ran, or leave panels=true out",
        )
    found: dict[tuple[str, str, str], Model] = {}
    for path in runs:
        sweep = load_sweep(path).model_copy(update={"results": str(results)})
        for model in _of_run(sweep, progress):
            known = found.setdefault((model.cell, model.result_set, model.method), model)
            if model.seed < known.seed:
                found[model.cell, model.result_set, model.method] = model
    return list(found.values())


def _of_run(sweep: SweepConfig, progress: Progress) -> Iterator[Model]:
    planner = Planner(sweep, progress)
    runtime = Runtime(
        sweep.runtime.model_copy(update={"device": "auto", "precision": "fp32", "compile": None})
    ).settle()
    for cell, config in enumerate(sweep.cells):
        if not config.retrains:
            progress.say(f"{config.name}: no panels, as there is no retrained model to show beside the others")
        elif config.forget.scored:
            stage = PanelStage(config, planner.results, runtime, progress)
            shown = _first(planner, stage, cell)
            with progress.bar(f"{config.name} panels: model", len(shown)) as bar:
                for task, key in shown.items():
                    yield _model(planner, stage, task, key)
                    bar.advance()


def _first(planner: Planner, stage: PanelStage, cell: int) -> dict[Task, UnlearnedKey]:
    """Of each method the stored model of the lowest seed."""
    found: dict[str, tuple[Task, UnlearnedKey]] = {}
    for task in planner.tasks:
        if task.stage != "evaluate" or task.cell != cell or task.method in REFERENCES or task.seed is None:
            continue
        key = None if task.method in found else planner.subject(task)
        if not isinstance(key, UnlearnedKey):
            continue
        if stage.store.has(key, stage.keys.place(task.method, task.seed)):
            found[task.method] = task, key
    return dict(found.values())


def _model(planner: Planner, stage: PanelStage, task: Task, key: UnlearnedKey) -> Model:
    assert task.seed is not None
    place = stage.keys.place(task.method, task.seed)
    logits, labels = _logits(stage, key, place, task.seed), stage.split_data(task.seed).labels
    told = Model(
        cell=stage.keys.cell_key.short,
        result_set=planner.result_set(task) or "",
        method=task.method,
        seed=task.seed,
        losses={part: {name: losses(logits[name][part], labels[part]) for name in MODELS} for part in COMPARED},
    )
    try:
        panel = stage.panel(key, place)
    except NotApplicable as error:
        return replace(told, refused=f"{error.problem}: {error.given}")
    level = panel.level
    return replace(
        told,
        level=f"block {level.number} of {level.blocks}, {level.height} x {level.width} places",
        samples=list(_samples(stage, panel, logits, labels)),
    )


def _logits(stage: PanelStage, key: UnlearnedKey, place: Place, seed: int) -> dict[str, Logits]:
    """By model and part."""
    entry = stage.store.find(key, place)
    assert entry is not None, "the store has it"
    return {UNLEARNED: entry.arrays("logits.npz"), **{str(role): stage.logits(role, seed) for role in REFERENCES}}


def _samples(
    stage: PanelStage, panel: Panel, logits: Mapping[str, Logits], labels: Mapping[str, npt.NDArray[np.int64]]
) -> Iterator[Sample]:
    for part in PARTS:
        for number, position in enumerate(panel.samples[part]):
            label = int(labels[part][position])
            yield Sample(
                part=part,
                label=stage.decoded.class_names[label],
                image=panel.images[part][number],
                maps={name: panel.maps[part][name][number] for name in MODELS},
                probability={
                    name: float(softmax(logits[name][part][position].astype(float))[label]) for name in MODELS
                },
            )
