"""What is recorded of an original's training: trained again under observation, held against the original, stored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from deepunlearn import archs
from deepunlearn.core.errors import NotApplicable
from deepunlearn.core.keys import RecordKey, SliceKey
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig
from deepunlearn.core.seeding import derive_seed
from deepunlearn.core.sharding import epochs_of_slices
from deepunlearn.core.store import Entry, Place
from deepunlearn.data.loader import Part
from deepunlearn.learning import Ensemble, Recorded, Shards, Updates, affected_batches
from deepunlearn.runtime import Runtime
from deepunlearn.stages.references import ReferenceStage
from deepunlearn.training import save_weights

LEARNING_PHASE = ("record_seconds", "record_MB", "affected")  # columns of rows; null of methods without a record
UPDATES = "updates.safetensors"  # payload of a record: the running sum
MEMBER = "member.safetensors"  # payload of a slice: the shard's weights
SAME_TRAINING = 1e-4  # relative distance up to which the end of a training is taken for the stored original


class RecordingStage(ReferenceStage):
    """Records the learning phase of a cell's originals, for methods that need it."""

    def __init__(self, cell: CellConfig, results: Results, runtime: Runtime, progress: Progress) -> None:
        super().__init__(cell, results, runtime, progress)
        self._loaded: tuple[RecordKey, int, Recorded | Shards] | None = None

    def difficulty(self, method: MethodConfig, seed: int) -> Tensor | None:
        """float64 [N]: how hard each sample is that the model of `seed` is to forget now, where `method` needs that.

        By its bank the memorisation, else the negative confidence of the original over its training.
        """
        if method.needs != "difficulty":
            return None
        split = self.split_of(seed)
        self.keys.check_bank(method, split)
        scores = -self._sure(self.confidence(seed)) if method.bank is None else self.keys.memorised(method)
        return torch.from_numpy(scores[split.forget if self.before is None else split.forget[~self.earlier]])

    def costs(self, method: MethodConfig, params: Mapping[str, Value], seed: int) -> dict[str, Any]:
        """What `method` needed of the learning phase, for its row; nothing of most methods."""
        if method.watches:
            return costs(self.confidence(seed))
        return costs(self.record(self.keys.record(method, params, seed), seed)) if method.records else {}

    def record(self, key: RecordKey, seed: int) -> Entry:
        """What `key` names of the original of `seed`, made where it is not stored. Raises NotApplicable, see below."""
        place = self._place(key, seed)
        record = self._record_updates if key.needs == "updates" else self._record_shards
        return self.store.find(key, place) or record(key, place, seed)

    def _place(self, key: RecordKey, seed: int) -> Place:
        """An ensemble lies where its original does; what was changed by forget samples, with the model that forgets."""
        own = self.cell.forget.reference_seed("original", seed) if key.needs == "shards" else seed
        return self.keys.place(key.needs, own)

    def recorded(self, key: RecordKey, seed: int) -> Recorded | Shards:
        """The same, as methods get it; the last one is kept."""
        if self._loaded is None or self._loaded[:2] != (key, seed):
            entry = self.record(key, seed)
            self._loaded = key, seed, self._updates(entry) if key.needs == "updates" else self.shards(key, seed)
        return self._loaded[2]

    # --------------------------------------------------------------------------------------------------------- updates

    def _record_updates(self, key: RecordKey, place: Place, seed: int) -> Entry:
        """The training is that of the original, bit for bit.

        Raises NotApplicable where its end is another model than the original that is stored.
        """
        original, checkpoint = self.reference("original", seed), self._checkpoint(key)
        trained_at = self.keys.place("original", self.cell.forget.reference_seed("original", seed))
        data = self._data_of(key.original, seed)
        affected = self._affected(key, seed, data.parts["train"])
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

    def _affected(self, key: RecordKey, seed: int, part: Part) -> list[list[bool]]:
        """For each epoch and batch whether it holds a forgotten sample, and none that an earlier request was about.

        What the latter have done to the weights has been taken off already.
        """
        forget = self.split_data(seed).parts["forget"]

        def touched(rows: npt.NDArray[np.bool_]) -> list[list[bool]]:
            positions = forget.subset(np.flatnonzero(rows)).positions_in(part)
            return affected_batches(key.original.hash, self.cell.train, len(part), positions)

        if self.before is None:
            return touched(np.ones(len(forget), dtype=bool))
        now, before = touched(~self.earlier), touched(self.earlier)
        return [[one and not other for one, other in zip(*epoch, strict=True)]
                for epoch in zip(now, before, strict=True)]  # fmt: skip

    def _updates(self, entry: Entry) -> Recorded:
        updates = load_file(entry.file(UPDATES), device=str(self.runtime.device))
        return Recorded(updates, *(entry.meta[name] for name in ("batches", "affected", "update_bytes")))

    # ---------------------------------------------------------------------------------------------------------- shards

    def _record_shards(self, key: RecordKey, place: Place, seed: int) -> Entry:
        """Train an ensemble in place of the original: each shard slice by slice, the state after each an own entry."""
        whole, seconds, kept = self.shards(key, seed, whole=True), 0.0, 0
        placement = whole.placement
        label = f"{self.cell.name} ensemble seed {seed}: slice"
        with self.progress.bar(label, placement.shards * placement.slices) as bar:
            for shard in range(placement.shards):
                for piece in range(placement.slices):
                    entry = self._slice(key, place, whole, shard, piece)
                    seconds += entry.meta["seconds"]
                    kept += entry.meta["files"][MEMBER]["bytes"]
                    bar.advance()
        self.progress.say(
            f"{self.cell.name} ensemble seed {seed}: trained {placement.shards} shards in {seconds:.1f} s"
        )
        with self.store.writing(key, place, self._facts(seconds=seconds, kept_bytes=kept)) as draft:
            draft.write_arrays("placement.npz", shard=placement.shard, slice=placement.slice)
        return self._stored(key, place)

    def _slice(self, key: RecordKey, place: Place, whole: Shards, shard: int, piece: int) -> Entry:
        """A shard after this slice, trained from its state before it."""
        own = SliceKey(record=key, shard=shard, slice=piece)
        if (entry := self.store.find(own, place)) is not None:
            return entry
        member, checkpoint = self.fresh_model(key.original.seed), self._checkpoint(own)
        whole.restore(member, shard, piece)
        seconds = whole.train(member, shard, piece, checkpoint)
        with self.store.writing(own, place, self._facts(seconds=seconds)) as draft:
            save_weights(draft.path / MEMBER, member)
        checkpoint.path.unlink(missing_ok=True)
        return self._stored(own, place)

    def shards(self, key: RecordKey, seed: int, *, whole: bool = False) -> Shards:
        """The ensemble's shards, and which samples the model of `seed` forgets; whole: none. Nothing is trained."""
        part, place = self._data_of(key.original, seed).parts["train"], self._place(key, seed)
        gone, asked = np.zeros((2, len(part)), dtype=bool)
        if not whole:
            gone[self.split_data(seed).parts["forget"].positions_in(part).numpy()] = True
            asked[self.parts_of_run(seed)["forget"].positions_in(part).numpy()] = True
        placement = self.keys.placement(key, part.labels.cpu().numpy())
        epochs = epochs_of_slices(self.cell.train.epochs, placement.slices)
        recipe = self.cell.train.model_copy(update={"epochs": epochs})
        states = partial(self._state_before, key, place)
        return Shards(placement, gone, part, recipe, key.hash, states, self.runtime, asked)

    def _state_before(self, key: RecordKey, place: Place, shard: int, piece: int) -> Mapping[str, Tensor]:
        """The weights of a shard before it is trained on this slice."""
        if piece == 0:
            return self._fresh_member(key, shard).state_dict()
        entry = self._stored(SliceKey(record=key, shard=shard, slice=piece - 1), place)
        weights: Mapping[str, Tensor] = load_file(entry.file(MEMBER), device=str(self.runtime.device))
        return weights

    def _fresh_member(self, key: RecordKey, shard: int) -> nn.Module:
        """What a shard's training begins with: another network for each."""
        classes = len(self.decoded.class_names)
        initial = derive_seed("shard", self.cell.arch.name, classes, key.original.seed, shard)
        return self.runtime.to_device(archs.start(self.cell.arch, classes, self.decoded.inputs, initial))

    def ensemble(self, key: RecordKey, seed: int) -> Ensemble:
        """The ensemble as it was trained, fixed and in evaluation mode."""
        shards = self.recorded(key, seed)
        assert isinstance(shards, Shards)
        model = self.empty_ensemble(key)
        for shard, member in enumerate(model.members):
            shards.restore(member, shard, shards.placement.slices)
        model.requires_grad_(False).eval()
        return model

    def empty_ensemble(self, key: RecordKey) -> Ensemble:
        """A network of its structure, newly initialised."""
        return Ensemble(self._fresh_member(key, shard) for shard in range(int(key.values["shards"])))


def costs(entry: Entry) -> dict[str, Any]:
    """What recording took, what is kept of it and how much of the training it is about: `LEARNING_PHASE` of a row."""
    meta = entry.meta
    kept = meta.get("kept_bytes", 0) + sum(one["bytes"] for one in meta["files"].values())
    values = meta["seconds"], kept / 1e6, meta["affected"] / meta["batches"] if "batches" in meta else None
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
