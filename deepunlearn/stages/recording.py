"""What is recorded of an original's training: trained again under observation, held against the original, stored."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from deepunlearn.core.errors import NotApplicable
from deepunlearn.core.keys import RecordKey
from deepunlearn.core.method_config import Needs
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig
from deepunlearn.core.store import Entry, Place
from deepunlearn.learning import Recorded, Updates, affected_batches
from deepunlearn.runtime import Runtime
from deepunlearn.stages.references import ReferenceStage

LEARNING_PHASE = ("record_seconds", "record_MB", "affected")  # columns of rows; null of methods without a record
UPDATES = "updates.safetensors"  # payload of a record: the running sum
SAME_TRAINING = 1e-4  # relative distance up to which the end of a training is taken for the stored original


class RecordingStage(ReferenceStage):
    """Records the learning phase of a cell's originals, for methods that need it."""

    def __init__(self, cell: CellConfig, results: Results, runtime: Runtime, progress: Progress) -> None:
        super().__init__(cell, results, runtime, progress)
        self.recorded = lru_cache(maxsize=1)(self._load_recorded)

    def record(self, needs: Needs, seed: int) -> Entry:
        """What is recorded of the original of `seed`; the training is that of the original, bit for bit.

        Raises NotApplicable where its end is another model than the original that is stored.
        """
        key, place = self.keys.record(needs, seed), self.keys.place(needs, seed)
        return self.store.find(key, place) or self._record(key, place)

    def _record(self, key: RecordKey, place: Place) -> Entry:
        seed = place.seed
        assert seed is not None
        original, checkpoint = self.reference("original", seed), self._checkpoint(key)
        trained_at = self.keys.place("original", self.cell.forget.reference_seed("original", seed))
        data, forget = self._data_of(key.original, seed), self.split_data(seed).parts["forget"]
        train = data.parts["train"]
        affected = affected_batches(key.original.hash, self.cell.train, len(train), forget.positions_in(train))
        watch = Updates(self.fresh_model(key.original.seed), affected, self.runtime)
        model, history = self._trained(key.original, trained_at, data, checkpoint, watch)
        deviation = relative_distance(model, self.original(trained_at.seed))
        if not deviation <= SAME_TRAINING:
            raise _another_end(deviation, original, self.runtime)
        facts = self._facts(
            seconds=history.seconds + watch.seconds,
            observing_seconds=watch.seconds,
            deviation=deviation,
            batches=sum(map(len, affected)),
            affected=sum(map(sum, affected)),
            update_bytes=sum(value.nbytes for value in model.state_dict().values()),
        )
        with self.store.writing(key, place, facts) as draft:
            save_file({name: value.contiguous() for name, value in watch.sums.items()}, draft.path / UPDATES)
        checkpoint.path.unlink(missing_ok=True)
        return self._stored(key, place)

    def _load_recorded(self, needs: Needs, seed: int) -> Recorded:
        """The same, as methods get it."""
        entry = self.record(needs, seed)
        updates = load_file(entry.file(UPDATES), device=str(self.runtime.device))
        return Recorded(updates, *(entry.meta[name] for name in ("batches", "affected", "update_bytes")))


def costs(entry: Entry) -> dict[str, Any]:
    """What recording took, what is kept of it and how much of the training it is about: `LEARNING_PHASE` of a row."""
    kept = sum(one["bytes"] for one in entry.meta["files"].values())
    values = entry.meta["seconds"], kept / 1e6, entry.meta["affected"] / entry.meta["batches"]
    return dict(zip(LEARNING_PHASE, values, strict=True))


def relative_distance(model: nn.Module, other: nn.Module) -> float:
    """L2 distance of all that is stored of two models of one network / norm of the second's; 0 where bits are equal."""
    own, others = model.state_dict(), other.state_dict()
    if all(torch.equal(own[name], value) for name, value in others.items()):
        return 0.0
    pairs = [(own[name].double(), value.double()) for name, value in others.items()]
    far = sum(float((one - another).square().sum()) for one, another in pairs)
    return float((far / sum(float(another.square().sum()) for _, another in pairs)) ** 0.5)


def _another_end(deviation: float, original: Entry, runtime: Runtime) -> NotApplicable:
    made, here = original.meta, runtime.describe()
    told = ("machine", "device", "threads", "torch")
    return NotApplicable(
        "the training that was recorded ended in another model than the original that is stored",
        given=f"relative distance {deviation:.1e}; the original is of {', '.join(str(made.get(one)) for one in told)}; "
        f"this is {', '.join(str(here.get(one)) for one in told)}",
        allowed=f"a distance up to {SAME_TRAINING:g}; 0 on the same machine with the same threads",
        remedy="run the sweep where the original was trained, or in another results folder, which trains it anew",
    )
