"""The learning phase: what can be recorded while an original is trained, and what a method gets to see of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deepunlearn.core.batches import training_batches
from deepunlearn.core.params import Value
from deepunlearn.core.schema import TrainConfig
from deepunlearn.core.sharding import FEWEST, Placement
from deepunlearn.data.loader import Part, drawn_batches
from deepunlearn.runtime import Clock, Runtime
from deepunlearn.training import Batches, Checkpoint, epoch_seed, train


@dataclass(frozen=True)
class Recorded:
    """What is known of the steps that trained the original; nothing of any other model, nor of samples.

    updates: by name as in `state_dict`, what all steps on batches with a sample of D_F changed, in double precision
    (whole numbers in int64); batches, affected: how many steps there were, and how many of them these were;
    update_bytes: what the update of one step takes where every one is kept.
    """

    updates: Mapping[str, Tensor]
    batches: int
    affected: int
    update_bytes: int

    def costs(self, kept: float = 1.0) -> dict[str, Value]:
        """What a deployment would store, which does not know yet what is to go; for notes.

        kept: the share of each update that a method keeps.
        """
        one = kept * self.update_bytes / 1e6
        return {
            "batches": self.batches,
            "affected_batches": self.affected,
            "kept_share": kept,
            "all_updates_MB": self.batches * one,
            "affected_updates_MB": self.affected * one,
        }


def affected_batches(identity: str, recipe: TrainConfig, samples: int, forgotten: Tensor) -> list[list[bool]]:
    """For each epoch and batch of a training, whether a forgotten sample is in it. They follow from identity and epoch.

    samples: in the training part; forgotten: int64, their positions in it.
    """
    chosen = torch.zeros(samples, dtype=torch.bool)
    chosen[forgotten] = True
    return [[bool(chosen[batch].any()) for batch in _members(identity, epoch, samples, recipe.batch_size)]
            for epoch in range(recipe.epochs)]  # fmt: skip


def _members(identity: str, epoch: int, samples: int, batch_size: int) -> Sequence[Tensor]:
    generator = torch.Generator().manual_seed(epoch_seed(identity, epoch))
    return drawn_batches(samples, batch_size, generator)


class Updates:
    """Adds up what the steps on chosen batches change in a network: the running sum of amnesiac unlearning.

    It is equal to keeping every update and adding those up that are asked for later. Graves et al. 2021, section 4.2.
    Parameters and buffers alike: running statistics hold the data, too.
    """

    def __init__(self, model: nn.Module, affected: Sequence[Sequence[bool]], runtime: Runtime) -> None:
        """model: of the network that will be trained; affected: for each epoch and batch, whether it counts."""
        self._affected, self._runtime = affected, runtime
        self.seen: dict[str, Tensor] = {
            "seconds": torch.zeros((), dtype=torch.float64),
            **{f"sum.{name}": torch.zeros_like(value, dtype=_wide(value)) for name, value in _counted(model)},
        }

    @property
    def seconds(self) -> float:
        """What looking took."""
        return float(self.seen["seconds"])

    @property
    def sums(self) -> dict[str, Tensor]:
        """By name, as in `Recorded.updates`."""
        return {name.removeprefix("sum."): value for name, value in self.seen.items() if name.startswith("sum.")}

    def follow(self, epoch: int, batches: Batches, model: nn.Module, clock: Clock) -> Batches:
        """The weights before and after each batch that counts are held against each other."""
        for counts, batch in zip(self._affected[epoch], batches, strict=True):
            if not counts:
                yield batch
                continue
            with self._timed(clock):
                before = {name: value.clone() for name, value in _counted(model)}
            yield batch
            with self._timed(clock):
                self._add(before, model)

    def look(self, model: nn.Module) -> None:
        """It is the steps that count, not the ends of epochs."""

    def _add(self, before: Mapping[str, Tensor], model: nn.Module) -> None:
        for name, value in _counted(model):
            total = self.seen[f"sum.{name}"]
            total += value.to(total.dtype) - before[name].to(total.dtype)

    @contextmanager
    def _timed(self, clock: Clock) -> Iterator[None]:
        own = self._runtime.clock()
        with clock.paused():
            own.start()
            yield
            own.stop()
        self.seen["seconds"] += own.seconds


def _counted(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and stored buffers with their names, apart from truth values, which are no sums."""
    for name, value in model.state_dict().items():
        if value.dtype != torch.bool:
            yield name, value


def _wide(value: Tensor) -> torch.dtype:
    return torch.float64 if value.is_floating_point() else torch.int64


# -------------------------------------------------------------------------------------------------------------- shards


class Ensemble(nn.Module):
    """Networks that were trained apart. Its logits are the log of the mean of their softmax."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """[B, ...] -> [B, K]."""
        each = torch.stack([member(x).float().log_softmax(1) for member in self.members])
        return each.logsumexp(0) - math.log(len(self.members))


@dataclass(frozen=True, eq=False)
class Shards:
    """The ensemble that stands for the original: where its samples are, its states, and how its shards are trained.

    gone: bool [N], which samples of the training part are forgotten; the rest is private: methods go by what is below.
    asked: bool [N], which of them now, where others went before; null: all.
    """

    placement: Placement
    gone: npt.NDArray[np.bool_]
    _part: Part  # what the original is trained on
    _recipe: TrainConfig  # of each slice
    _identity: str
    _states: Callable[[int, int], Mapping[str, Tensor]]
    _runtime: Runtime
    _asked: npt.NDArray[np.bool_] | None = None

    @property
    def touched(self) -> dict[int, int]:
        """Each shard that holds a sample that is asked for -> the first of its slices with a forgotten one."""
        return self.placement.touched(self.gone, self._asked)

    def restore(self, member: nn.Module, shard: int, piece: int) -> None:
        """Give `member` the weights that its shard had before this slice."""
        member.load_state_dict(self._states(shard, piece))

    def train(self, member: nn.Module, shard: int, piece: int, checkpoint: Checkpoint | None = None) -> float:
        """Train `member` on this slice of its shard and those before it, without what is gone; the seconds it took.

        What is random depends on shard and slice alone. A slice of which fewer than 2 samples are left teaches nothing.
        """
        rows = self.placement.members(shard, piece, self.gone)
        if len(rows) < FEWEST:
            return 0.0
        identity = f"{self._identity} shard {shard} slice {piece}"
        own = self._part.subset(rows)
        return train(member, own, self._recipe, self._runtime, identity, checkpoint=checkpoint).seconds

    def costs(self) -> dict[str, Value]:
        """For notes: how many shards are trained again, and the share of the ensemble's training that this is."""
        every = dict.fromkeys(range(self.placement.shards), 0)
        again = self.placement.passes(self.touched, self.gone) / max(1, self.placement.passes(every, self.gone))
        return {"shards": self.placement.shards, "touched_shards": len(self.touched), "retrained_share": again}

    @property
    def steps(self) -> int:
        """Of training the whole ensemble from the start, without what is gone."""
        every = ((shard, piece) for shard in range(self.placement.shards) for piece in range(self.placement.slices))
        sizes = [len(self.placement.members(*one, self.gone)) for one in every]
        batches = sum(len(training_batches(size, self._recipe.batch_size)) for size in sizes if size >= FEWEST)
        return self._recipe.epochs * batches
