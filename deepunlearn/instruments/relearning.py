"""Training a copy of a model until it knows something again: how little that takes is how much of it was left."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deepunlearn.core.errors import NotApplicable
from deepunlearn.core.progress import Bar, Progress
from deepunlearn.data.loader import Part
from deepunlearn.ops.optim import adam
from deepunlearn.runtime import Runtime
from deepunlearn.training import classification_step, inference_batch, normalises_one, predict

RATE, BATCH_SIZE = 1e-3, 256  # of Adam, for all methods alike
EPOCHS = 100  # at most
ALPHA = 0.05  # of what is reached all but this share of it
LOOKS = 8  # at the accuracy in an epoch, evenly spaced; with fewer steps than that after each
ROUNDING = 1e-9  # of a product of two accuracies
SEED = 0  # one order for all models, so that only their weights differ


@dataclass(frozen=True)
class Reached:
    """When an accuracy was there for the first time, 0 before any training; None where it never was.

    epochs: by what was seen at the ends of epochs; steps: by what was seen after steps.
    """

    epochs: int | None
    steps: int | None


def accuracy(model: nn.Module, part: Part, runtime: Runtime) -> float:
    """Share of `part` that `model` gets right in evaluation mode; the labels are those that training sees."""
    predicted = torch.from_numpy(predict(model, part, runtime)).argmax(1)
    return float((predicted == part.labels.cpu()).double().mean())


def relearn(
    model: nn.Module,
    part: Part,
    targets: Sequence[float],
    runtime: Runtime,
    *,
    progress: Progress,
    most_epochs: int = EPOCHS,
    label: str = "relearning D_F",
) -> list[Reached]:
    """When a copy of `model`, trained on `part` alone, gets each share of `part` right that `targets` name.

    Plain training: cross-entropy, Adam, un-augmented batches, training mode; looked at in evaluation mode, after every
    step where an epoch has at most `LOOKS`, else after every so many and at its end. It ends when all targets are
    reached. Equal models give equal results; `model` stays as it is. Raises Diverged where the loss is not finite,
    NotApplicable where one sample is too few for batch normalisation.
    """
    taught = copy.deepcopy(model).requires_grad_(True)
    return relearn_in_place(taught, part, targets, runtime, progress=progress, most_epochs=most_epochs, label=label)


def relearn_in_place(
    model: nn.Module,
    part: Part,
    targets: Sequence[float],
    runtime: Runtime,
    *,
    progress: Progress,
    most_epochs: int = EPOCHS,
    label: str = "relearning D_F",
) -> list[Reached]:
    """`relearn` of the model itself, which is another one afterwards: nothing that is to be measured still."""
    trial = _Trial(model.requires_grad_(True), part, runtime, targets)
    trial.look(0, epoch=0)
    with progress.bar(f"{label}: epoch", most_epochs) as bar, runtime.seeded(SEED) as generator:
        trial.run(most_epochs, generator, bar)
    return [Reached(*found) for found in zip(trial.epochs, trial.steps, strict=True)]


class _Trial:
    """One relearning under way."""

    def __init__(self, model: nn.Module, part: Part, runtime: Runtime, targets: Sequence[float]) -> None:
        self.model, self.part, self.runtime, self.targets = model, part, runtime, targets
        self.step = classification_step(model, adam(model.parameters(), lr=RATE), runtime)
        self.epochs: list[int | None] = [None] * len(targets)
        self.steps: list[int | None] = [None] * len(targets)

    def run(self, most_epochs: int, generator: torch.Generator, bar: Bar) -> None:
        each = self.part.steps(BATCH_SIZE)
        apart = math.ceil(each / LOOKS)
        self.model.train()
        for epoch in range(1, most_epochs + 1):
            if None not in self.epochs:
                return
            for index, batch in enumerate(self.part.batches(BATCH_SIZE, generator), start=1):
                self._learn(*batch)
                if index % apart == 0 or index == each:
                    self.step.mean_loss()  # raises where it is not finite: no accuracy of such weights counts
                    self.look((epoch - 1) * each + index, epoch if index == each else None)
            bar.advance()

    def _learn(self, x: Tensor, y: Tensor) -> None:
        """Raises NotApplicable where the part is one sample, on which batch normalisation may not train."""
        try:
            self.step(x, y)
        except ValueError as error:
            if not normalises_one(error):
                raise
            raise NotApplicable(
                "one sample cannot be relearnt: the model's batch normalisation cannot train on it",
                given=f"{len(self.part)} samples, a batch of {len(y)}",
                allowed="at least two samples",
                remedy="leave the measure out (measures=), or use a network without batch normalisation",
            ) from error

    def look(self, steps: int, epoch: int | None) -> None:
        """Note which targets the model reaches after so many steps; epoch: the one that has just ended."""
        now = accuracy(self.model, self.part, self.runtime)
        for index, target in enumerate(self.targets):
            if now < target - ROUNDING:
                continue
            if self.steps[index] is None:
                self.steps[index] = steps
            if self.epochs[index] is None and epoch is not None:
                self.epochs[index] = epoch


_known: dict[str, list[Reached]] = {}


def relearn_once(
    model: nn.Module,
    part: Part,
    targets: Sequence[float],
    runtime: Runtime,
    *,
    progress: Progress,
) -> list[Reached]:
    """`relearn`, kept for this process: of a retrained model, that all methods of a seed are held against.

    Known again by the weights and the samples themselves.
    """
    name = _digest(model, part, targets)
    if name not in _known:
        _known[name] = relearn(model, part, targets, runtime, progress=progress)
    return _known[name]


def _digest(model: nn.Module, part: Part, targets: Sequence[float]) -> str:
    digest = hashlib.sha256(repr([*targets, type(model).__qualname__]).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    for batch in part.blocks(inference_batch(part.shape)):
        for tensor in batch:
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
