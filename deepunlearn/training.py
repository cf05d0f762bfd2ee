"""The one training loop (protocol section 4), its checkpoints, and inference."""

from __future__ import annotations

import glob
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from deepunlearn.core import stopping
from deepunlearn.core.errors import StoreError
from deepunlearn.core.paths import sync_folder
from deepunlearn.core.schema import TrainConfig
from deepunlearn.core.seeding import derive_seed
from deepunlearn.data.loader import Part
from deepunlearn.ops.optim import cosine, set_lr, sgd
from deepunlearn.ops.step import Step
from deepunlearn.runtime import Clock, Runtime

CALIBRATION_STEPS = 50  # protocol section 5: what a retrain step costs is measured over this many
WARM_UP_STEPS = 5


@dataclass
class History:
    """What a training leaves beside the weights: mean loss per epoch, wall seconds of all epochs."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """Where a training under way is kept, and the least seconds between two writes."""

    path: Path
    seconds: float


Batches = Iterator[tuple[Tensor, Tensor]]


class Watch(Protocol):
    """Looks at a network while it is trained, and leaves the training as it is."""

    seen: dict[str, Tensor]  # what it has gathered so far; kept in checkpoints with the network

    def follow(self, epoch: int, batches: Batches, model: nn.Module, clock: Clock) -> Batches:
        """Hands on `batches`, all of them in their order; the step on one is done when the next is asked for.

        What takes time here happens while `clock` is paused.
        """

    def look(self, model: nn.Module) -> None:
        """Called once at the end of each epoch, before it is checkpointed."""


def train(
    model: nn.Module,
    part: Part,
    recipe: TrainConfig,
    runtime: Runtime,
    identity: str,
    *,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train `model` in place on augmented `part`: SGD with momentum, cosine annealing to 0, cross-entropy.

    Everything random in epoch e depends on (`identity`, e) only; so a training that was killed continues from
    `checkpoint` and ends with the same weights. `watch` looks on outside the clock and changes nothing of that. Raises
    Diverged at the end of an epoch whose loss is not finite, and Stopped, with a checkpoint written, at the end of one
    during which that was asked for.
    """
    optimizer = sgd(model.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    step = classification_step(model, optimizer, runtime)
    history = _resume(checkpoint, model, optimizer, watch)
    rates = cosine(recipe.lr, recipe.epochs)
    written = time.monotonic()
    model.train()
    for epoch in range(len(history.losses), recipe.epochs):
        clock = runtime.clock()
        clock.start()
        set_lr(optimizer, rates[epoch])
        with runtime.seeded(epoch_seed(identity, epoch)) as generator:
            batches = part.batches(recipe.batch_size, generator, augment=True)
            for x, y in watch.follow(epoch, batches, model, clock) if watch else batches:
                step(x, y)
        clock.stop()
        history.losses.append(step.mean_loss())
        history.seconds += clock.seconds
        if watch:
            watch.look(model)
        if checkpoint and (time.monotonic() - written >= checkpoint.seconds or stopping.requested()):
            _save(checkpoint.path, model, optimizer, history, watch)
            written = time.monotonic()
            if epoch + 1 < recipe.epochs:
                stopping.check()
        if on_epoch:
            on_epoch(history)
    return history


def epoch_seed(identity: str, epoch: int) -> int:
    """What everything random in an epoch of the training `identity` is drawn by."""
    return derive_seed("epoch", identity, epoch)


def classification_step(model: nn.Module, optimizer: torch.optim.Optimizer, runtime: Runtime) -> Step:
    """The step of plain training: mean cross-entropy of the batch."""
    return Step(lambda x, y: F.cross_entropy(model(x), y), optimizer, runtime.autocast)


def seconds_per_step(
    model: nn.Module,
    part: Part,
    recipe: TrainConfig,
    runtime: Runtime,
    *,
    steps: int = CALIBRATION_STEPS,
    warm_up: int = WARM_UP_STEPS,
) -> float:
    """Mean wall seconds of a training step of `recipe` on `part` here and now. Changes `model`."""
    optimizer = sgd(model.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    step = classification_step(model, optimizer, runtime)
    model.train()
    clock = runtime.clock()
    with runtime.seeded(0) as generator:
        batches = _endless(part, recipe.batch_size, generator)
        if runtime.config.compile is not None:
            _step_once_per_size(step, part.batches(recipe.batch_size, generator, augment=True))
        for _ in range(warm_up):
            step(*next(batches))
        clock.start()
        for _ in range(steps):
            step(*next(batches))
        clock.stop()
    return clock.seconds / steps


def normalises_one(error: ValueError) -> bool:
    """Whether batch normalisation was to train on a batch of one sample, which it cannot."""
    return "more than 1 value per channel" in str(error)


def step_once(
    model: nn.Module, part: Part, recipe: TrainConfig, runtime: Runtime, around: AbstractContextManager[Any]
) -> int:
    """One training step of `recipe` on `part` inside `around`; how many samples its batch had. Changes `model`."""
    optimizer = sgd(model.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    step = classification_step(model, optimizer, runtime)
    model.train()
    with runtime.seeded(0) as generator:
        x, y = next(part.batches(recipe.batch_size, generator, augment=True))
        with around:
            step(x, y)
    return len(y)


def _step_once_per_size(step: Step, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
    """A step on the first batch of each size, which is what compiled graphs are built for."""
    known: set[int] = set()
    for x, y in batches:
        if len(y) not in known:
            step(x, y)
            known.add(len(y))


def _endless(part: Part, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from part.batches(batch_size, generator, augment=True)


@torch.inference_mode()
def predict(model: nn.Module, part: Part, runtime: Runtime) -> npt.NDArray[np.float32]:
    """Logits [N, classes] of `model` in evaluation mode on un-augmented `part`, in its order.

    Leaves the model's training flags and the global random state as they were.
    """
    training = [module.training for module in model.modules()]
    model.eval()
    with runtime.autocast():
        logits = [model(x).float() for x, _ in part.blocks(inference_batch(part.shape))]
    for module, flag in zip(model.modules(), training, strict=True):
        module.training = flag
    return torch.cat(logits).cpu().numpy()


def inference_batch(shape: Sequence[int]) -> int:
    """How many samples of this shape are passed at once: activations at 224x224 take 49 times the memory of 32x32."""
    is_large_image = len(shape) == 3 and shape[-1] > 64
    return 64 if is_large_image else 512


def save_weights(path: Path, model: nn.Module) -> None:
    """Parameters and buffers as safetensors."""
    save_file(_apart(model), path)


def _apart(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers; none shares memory with another, as tied weights do, which safetensors refuses."""
    return {name: value.clone(memory_format=torch.contiguous_format) for name, value in model.state_dict().items()}


def load_weights(path: Path, model: nn.Module) -> None:
    """Fill `model` from `path` in place; names and shapes must match exactly."""
    with safe_open(path, framework="pt") as file:
        model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


# ------------------------------------------------------------------------------------------------------- checkpoints


def _save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, history: History, watch: Watch | None
) -> None:
    """Model, momentum, history and what was seen of them in one file that replaces the last one whole."""
    tensors = {f"model.{name}": value for name, value in _apart(model).items()}
    for name, parameter in model.named_parameters():
        if (momentum := optimizer.state[parameter].get("momentum_buffer")) is not None:  # frozen, unused: none
            tensors[f"momentum.{name}"] = momentum.contiguous()
    tensors |= {f"seen.{name}": value.contiguous() for name, value in (watch.seen if watch else {}).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, draft, metadata={"history": json.dumps(history.__dict__)})
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _resume(
    checkpoint: Checkpoint | None, model: nn.Module, optimizer: torch.optim.Optimizer, watch: Watch | None
) -> History:
    if checkpoint is None:
        return History()
    for draft in checkpoint.path.parent.glob(f".{glob.escape(checkpoint.path.name)}.*"):
        draft.unlink(missing_ok=True)  # of a process that was killed while it wrote
    if not checkpoint.path.exists():
        return History()
    try:
        with safe_open(checkpoint.path, framework="pt") as file:
            model.load_state_dict({name: file.get_tensor(f"model.{name}") for name in model.state_dict()})
            kept = set(file.keys())
            for name, parameter in model.named_parameters():
                if f"momentum.{name}" not in kept:
                    continue
                momentum = torch.empty_like(parameter).copy_(file.get_tensor(f"momentum.{name}"))
                optimizer.state[parameter]["momentum_buffer"] = momentum
            if watch:
                for name, value in watch.seen.items():
                    value.copy_(file.get_tensor(f"seen.{name}"))
            return History(**json.loads(file.metadata()["history"]))
    except torch.OutOfMemoryError:
        raise  # no word about the file
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise StoreError(
            f"the checkpoint {checkpoint.path} is damaged",
            given=str(error)[:300],
            allowed="the file as it was written",
            remedy="delete this file; the training then starts from its first epoch",
        ) from error
