"""The computing of a deletion: the model is read, unlearned and looked at, on one device."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from deepunlearn import archs
from deepunlearn.archs.inspection import inspected
from deepunlearn.archs.weights import load_trained
from deepunlearn.cells import CellKeys
from deepunlearn.composition import make_method
from deepunlearn.core.errors import ConfigError, Diverged, advising
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig
from deepunlearn.core.seeding import derive_seed
from deepunlearn.data.decoded import Decoded
from deepunlearn.data.loader import Part, make_parts
from deepunlearn.deletion.checks import Evidence, Relearnt, unusable
from deepunlearn.deletion.division import Division
from deepunlearn.deletion.hashes import file_sha256
from deepunlearn.given_logits import classes_of
from deepunlearn.given_model import check_weights, not_finite
from deepunlearn.instruments.relearning import ALPHA, BATCH_SIZE, EPOCHS, accuracy, relearn
from deepunlearn.metrics.accuracy import Floats
from deepunlearn.ops.frozen import frozen_names
from deepunlearn.running import Run, Setting, execute, working_copy
from deepunlearn.runtime import Runtime
from deepunlearn.stages.unlearning import distances
from deepunlearn.training import predict, seconds_per_step

LEAST_TRAINED = 2  # samples: batch normalisation cannot train on a single one
LOOKED_AT = ("retain", "forget", "held_out")
NOT_RELEARNT = Relearnt(why_not=dict.fromkeys(("deleted", "twins"), "not measured: relearn=false"))
GENTLER = "name another method=, or gentler values of this one: a smaller method.params.lr=, fewer epochs"
TIMED_STEPS = 10  # of plain training, for an estimate


@dataclass(frozen=True)
class Costs:
    """What a deletion is expected to take, in seconds; relearning: at most."""

    unlearning: float
    looking: float
    relearning: float


class Work:
    """A model from a file, and its data on the device. The model is fixed; the unlearned one is another."""

    def __init__(
        self, cell: CellConfig, file: Path, data: Decoded, division: Division, *, runtime: Runtime, progress: Progress
    ) -> None:
        """Raises ConfigError where the file does not hold this network, or it does not know these data."""
        self.cell, self.data, self.division, self.runtime, self.progress = cell, data, division, runtime, progress
        self.classes = len(data.class_names)
        self.parts = self._parts()
        self.original = self._read(file)
        started = time.perf_counter()
        self.before = self._logits(self.original)
        self.looking_seconds = time.perf_counter() - started
        self._check_original()

    def _parts(self) -> dict[str, Part]:
        budget = self.runtime.config.data_budget_gb * 1e9
        parts = make_parts(self.data, self.division.split, self.cell.dataset, self.runtime.device, budget)
        test = parts["test"]
        return {**parts, "held_out": test.subset(self.division.held_out), "val": test.subset(self.division.val)}

    def _read(self, file: Path) -> nn.Module:
        arch, inputs = self.cell.arch, self.data.inputs
        inspected(arch, self.classes, inputs)
        model = archs.build(arch, self.classes, inputs, seed=0)
        load_trained(str(file), file_sha256(file), model)
        check_weights(model)
        model = self.runtime.to_device(model).requires_grad_(False).eval()
        classes_of(model, next(self.parts["retain"].blocks(2))[0], frozen_names(working_copy(model)))
        return model

    def _logits(self, model: nn.Module) -> dict[str, Floats]:
        return {name: predict(model, self.parts[name], self.runtime) for name in LOOKED_AT}

    def _check_original(self) -> None:
        """Raises ConfigError for a model that knows nothing of the data: its labels or images are others."""
        reason = unusable(self.before["held_out"], self._labels("held_out"), self.division.forgotten_classes)
        if reason is None:
            return
        raise ConfigError(
            "the model as it was given does not know these data",
            given=f"on the held-out samples {reason}",
            allowed="a model that is right more often than always naming the commonest class would be",
            remedy="prepare images as in the model's training (dataset.image_size=, dataset.mean=, dataset.std=), and "
            "see that its classes are numbered as here: folders in alphabetical order",
        )

    def _labels(self, name: str) -> np.ndarray:
        labels: np.ndarray = self.parts[name].labels.cpu().numpy()
        return labels

    # --------------------------------------------------------------------------------------------------- unlearning

    def unlearn(self, method: MethodConfig, values: dict[str, Value], seed: int) -> tuple[nn.Module, Run]:
        """Raises Diverged, and NotApplicable where the method cannot work on this model."""
        setting = Setting(
            original=self.original,
            data={name: self.parts[name] for name in ("retain", "forget", "val")},
            classes=self.classes,
            anatomy=partial(archs.anatomy_of, self.cell.arch),
            fresh=self._another,
            runtime=self.runtime,
            unbounded=frozenset(not_finite(self.original)),
        )
        run_seed = derive_seed("deletion", method.name, seed)
        with self.progress.bar(f"{method.title}: epoch", method.epochs_of(values)) as bar, advising(GENTLER):
            return execute(
                make_method(method, values), setting.problem, self.runtime, run_seed, lambda epoch, _: bar.advance()
            )

    def _another(self) -> nn.Module:
        """A network drawn from the global random state."""
        return self.runtime.to_device(archs.build(self.cell.arch, self.classes, self.data.inputs))

    def costs(self, method: MethodConfig, values: Mapping[str, Value], *, relearning: bool) -> Costs:
        """From the time of a few steps of plain training, on a copy."""
        retain, recipe = self.parts["retain"], self.cell.train
        step = seconds_per_step(working_copy(self.original), retain, recipe, self.runtime, steps=TIMED_STEPS, warm_up=2)
        epochs = method.cost(method.epochs_of(values))
        again = EPOCHS * math.ceil(len(self.parts["forget"]) / recipe.batch_size) * 2 if relearning else 0
        return Costs(step * retain.steps(recipe.batch_size) * epochs, self.looking_seconds, step * again)

    # ----------------------------------------------------------------------------------------------------- evidence

    def evidence(self, model: nn.Module, *, relearning: bool) -> Evidence:
        """What the checks need to know of the unlearned `model`."""
        finite = not set(not_finite(model)) - set(not_finite(self.original))
        after = self._logits(model)
        return Evidence(
            before=self.before,
            after=after,
            labels={name: self._labels(name) for name in LOOKED_AT},
            compared=self.division.compared,
            unseen=self.division.unseen,
            forgotten_classes=self.division.forgotten_classes,
            weights_finite=finite,
            moved=float(distances(model, self.original)["moved"]),
            relearnt=self._relearnt(model) if relearning else NOT_RELEARNT,
        )

    def _relearnt(self, model: nn.Module) -> Relearnt:
        """Until as many are right as the original had right but for 5 % of them, as the measure `relearn` has it."""
        deleted, twins = self.parts["forget"], self.division.twins
        if len(deleted) < LEAST_TRAINED:
            return Relearnt(why_not=dict.fromkeys(("deleted", "twins"), "not measured: no training on a single sample"))
        target = (1 - ALPHA) * accuracy(self.original, deleted, self.runtime)
        parts = {"deleted": deleted}
        why_not = {"twins": "not measured: fewer unseen samples than deleted ones of some class"}
        if twins is not None:
            parts["twins"], why_not = self.parts["held_out"].subset(twins), {}
        steps: dict[str, int | None] = {}
        for name, part in parts.items():
            try:
                steps[name] = self._steps(model, part, target)
            except Diverged as error:
                why_not[name] = f"not measured: {error.problem}"
        return Relearnt(**steps, most=EPOCHS * deleted.steps(BATCH_SIZE), why_not=why_not)

    def _steps(self, model: nn.Module, part: Part, target: float) -> int | None:
        label = "learning the deleted samples again" if part is self.parts["forget"] else "learning unseen samples"
        (reached,) = relearn(model, part, [target], self.runtime, progress=self.progress, label=label)
        return reached.steps


def check_blocks(cell: CellConfig, method: MethodConfig, values: Mapping[str, Value], data: Decoded) -> None:
    """Raises ConfigError where a value counts more of the network's blocks than there are."""
    classes = len(data.class_names)
    blocks = cell.arch.blocks or inspected(cell.arch, classes, data.inputs).blocks or 0
    CellKeys(cell, data.digest, classes, lambda _: {}).check_blocks(method, values, blocks)
