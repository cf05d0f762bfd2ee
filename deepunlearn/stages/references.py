"""Originals and retrained models: trained or taken from a user's file, stored with logits on all parts, loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from deepunlearn import archs
from deepunlearn.archs.inspection import inspected
from deepunlearn.archs.weights import load_trained
from deepunlearn.core.errors import SMALLER_RATE, Diverged
from deepunlearn.core.forget import Role
from deepunlearn.core.identity import Key
from deepunlearn.core.keys import ReferenceKey
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig
from deepunlearn.core.seeding import derive_seed
from deepunlearn.core.split import Split
from deepunlearn.core.store import Draft, Entry, Place
from deepunlearn.core.words import number_of
from deepunlearn.metrics import USABLE_MARGIN
from deepunlearn.metrics.accuracy import accuracy
from deepunlearn.metrics.scores import searched_accuracies
from deepunlearn.runtime import Runtime
from deepunlearn.stages.confidence import Confidence
from deepunlearn.stages.data import PARTS, DataStage, Rows, SplitData
from deepunlearn.training import Checkpoint, History, Watch, load_weights, predict, save_weights, train

Logits = dict[str, npt.NDArray[np.float32]]
TRAINED_ON = ("retain", "forget")  # the parts that an original has seen


class ReferenceStage(DataStage):
    """Trains the references of a cell, and knows them."""

    def __init__(self, cell: CellConfig, results: Results, runtime: Runtime, progress: Progress) -> None:
        super().__init__(cell, results, runtime, progress)
        self.original = lru_cache(maxsize=1)(self._load_original)
        self.logits = lru_cache(maxsize=8)(self._load_logits)

    def fresh_model(self, seed: int) -> nn.Module:
        """What the trainings of `seed` begin with: it depends on (architecture, classes, seed) only."""
        classes = len(self.decoded.class_names)
        initial = derive_seed("init", self.cell.arch.name, classes, seed)
        return self.runtime.to_device(archs.start(self.cell.arch, classes, self.decoded.inputs, initial))

    def _another(self) -> nn.Module:
        """A network drawn from the global random state."""
        classes = len(self.decoded.class_names)
        return self.runtime.to_device(archs.build(self.cell.arch, classes, self.decoded.inputs))

    @cached_property
    def blocks(self) -> int:
        """How many blocks the network has; 0 where they cannot be told, which methods that count them refuse."""
        arch, classes = self.cell.arch, len(self.decoded.class_names)
        return arch.blocks or inspected(arch, classes, self.decoded.inputs).blocks or 0

    def reference(self, role: Role, seed: int) -> Entry:
        """An original or retrained model: weights, logits on all parts, history."""
        seed = self.cell.forget.reference_seed(role, seed)
        key, place = self.keys.reference(role, seed), self.keys.place(role, seed)
        make = self._train_reference if key.given is None else self._take_original
        return self.store.find(key, place) or make(key, place, self._data_of(key, seed))

    def _data_of(self, key: ReferenceKey, seed: int) -> SplitData:
        """The data that a reference is trained on, divided as its outputs are stored."""
        return self.shared_data if self._is_shared(key) else self.split_data(seed)

    def confidence(self, seed: int) -> Entry:
        """How sure the original of `seed` was of each of its training samples; the original is kept, too.

        The watched training is that of the original, bit for bit.
        """
        seed = self.cell.forget.reference_seed("original", seed)
        key, place = self.keys.confidence_of(seed), self.keys.place("original", seed)
        entry = self.store.find(key, place)
        if entry is not None:
            return entry
        data = self._data_of(key.original, seed)
        watch, checkpoint = Confidence(data.parts["train"], self.runtime), self._checkpoint(key)
        model, history = self._trained(key.original, place, data, checkpoint, watch)
        if self.store.find(key.original, place) is None:
            self._store_reference(key.original, place, model, data, history)
        samples = (self.shared_split if self._is_shared(key.original) else self.split_of(seed)).train
        with self.store.writing(key, place, self._facts(seconds=history.seconds + watch.seconds)) as draft:
            draft.write_arrays("confidence.npz", samples=samples, confidence=watch.means())
        checkpoint.path.unlink(missing_ok=True)
        return self._stored(key, place)

    def _train_reference(self, key: ReferenceKey, place: Place, split_data: SplitData) -> Entry:
        checkpoint = self._checkpoint(key)
        model, history = self._trained(key, place, split_data, checkpoint)
        self._store_reference(key, place, model, split_data, history)
        checkpoint.path.unlink(missing_ok=True)
        return self._stored(key, place)

    def _take_original(self, key: ReferenceKey, place: Place, split_data: SplitData) -> Entry:
        """Store an original that was given, as if it had been trained here."""
        assert self.cell.given is not None and place.seed is not None
        file, model = self.cell.given.of(place.seed), self.fresh_model(key.seed)
        load_trained(file.path, file.digest, model)
        facts = self._facts(seconds=None, given=Path(file.path).name)
        with self._writing_reference(key, place, model.eval(), split_data, facts):
            pass
        label = f"{self.cell.name} {key.role} seed {place.seed}"
        self.progress.say(f"{label}: taken from {file.path}")
        entry = self._stored(key, place)
        for sentence in self._doubts(entry, split_data):
            self.progress.say(f"{label}: warning: {sentence}")
        return entry

    def _doubts(self, entry: Entry, split_data: SplitData) -> Iterator[str]:
        """What speaks against a given original having been trained on these data, seen through this normalisation."""
        logits, labels = entry.arrays("logits.npz"), split_data.labels
        own = np.concatenate([labels[name] for name in TRAINED_ON])
        right = accuracy(np.concatenate([logits[name] for name in TRAINED_ON]), own)
        share = float(np.bincount(own).max()) / len(own)
        if right <= USABLE_MARGIN * share:
            yield (
                f"it is right on {right:.1%} of the samples that it is said to be trained on, and the commonest class "
                f"is {share:.1%} of them; are dataset=, the order of the classes, dataset.image_size, dataset.mean and "
                "dataset.std those that it was trained with?"
            )

    def _checkpoint(self, key: Key) -> Checkpoint:
        return Checkpoint(self.results.work / f"{key.hash}.safetensors", self.runtime.config.checkpoint_seconds)

    def _trained(
        self,
        key: ReferenceKey,
        place: Place,
        split_data: SplitData,
        checkpoint: Checkpoint,
        watch: Watch | None = None,
    ) -> tuple[nn.Module, History]:
        self.runtime.graphs_of("references")
        model = self.runtime.compiled(self.fresh_model(key.seed))
        part = split_data.parts["train" if key.role == "original" else "retain"]
        label = f"{self.cell.name} {key.role} seed {place.seed}"
        self.runtime.watch_memory()
        with self.progress.bar(f"{label}: epoch", key.epochs) as bar:

            def show(history: History) -> None:
                bar.advance(len(history.losses) - bar.done, f"loss {history.losses[-1]:.3f}")

            history = train(
                model,
                part,
                self.cell.train,
                self.runtime,
                key.hash,
                checkpoint=checkpoint,
                watch=watch,
                on_epoch=show,
            )
        watched = "" if watch is None else ", watched"
        self.progress.say(f"{label}: trained {number_of(key.epochs, 'epoch')} in {history.seconds:.1f} s{watched}")
        return model, history

    def _store_reference(
        self, key: ReferenceKey, place: Place, model: nn.Module, split_data: SplitData, history: History
    ) -> None:
        with self._writing_reference(key, place, model, split_data, self._facts(seconds=history.seconds)) as draft:
            draft.write_json("history.json", history.__dict__)

    @contextmanager
    def _writing_reference(
        self, key: ReferenceKey, place: Place, model: nn.Module, split_data: SplitData, facts: dict[str, Any]
    ) -> Iterator[Draft]:
        """An entry with what is kept of a reference; `facts` were taken before anything else ran."""
        logits = self.predict(model, split_data)
        with self.store.writing(key, place, facts) as draft:
            save_weights(draft.path / "weights.safetensors", model)
            draft.write_arrays("logits.npz", **logits)
            yield draft

    def predict(self, model: nn.Module, split_data: SplitData, parts: tuple[str, ...] = PARTS) -> Logits:
        """Logits per part. Raises Diverged where one is not finite."""
        logits = {name: predict(model, split_data.parts[name], self.runtime) for name in parts}
        for name, values in logits.items():
            if not np.isfinite(values).all():
                raise Diverged(
                    f"the logits on the {name} part are not finite",
                    given="infinite or NaN logits",
                    allowed="finite logits",
                    remedy=SMALLER_RATE,
                )
        return logits

    def _load_original(self, seed: int) -> nn.Module:
        model = self.load("original", seed)
        return model.requires_grad_(False).eval()

    def load(self, role: Role, seed: int) -> nn.Module:
        model = self.fresh_model(self.keys.reference(role, seed).seed)
        load_weights(self.reference(role, seed).file("weights.safetensors"), model)
        return model

    def _load_logits(self, role: Role, seed: int) -> Logits:
        """A reference's stored logits on the parts of this cell; computed once per seed, whatever asks."""
        stored = self.reference(role, seed).arrays("logits.npz")
        shared = self._is_shared(self.keys.reference(role, seed))
        return recut(stored, self.shared_split, self.split) if shared else stored

    def _is_shared(self, key: ReferenceKey) -> bool:
        """Whether it is an original that is named after another forget set, and whose outputs are stored by that."""
        return key.role == "original" and key.split == self.keys.shared != self.keys.split

    def retrained_accuracies(self, seed: int, rows: Rows | None = None) -> dict[str, float]:
        """RA, FA, VA of the retrained model by part, on these samples: what a trial is held against. None: on all."""
        logits, split_data = self.logits("retrained", seed), self.split_data(seed)
        if rows is None:
            return accuracies(logits, split_data)
        return accuracies({part: logits[part][own] for part, own in rows.items()}, split_data.among(rows))


def recut(stored: Logits, by: Split, wanted: Split) -> Logits:
    """Logits on the parts of `wanted`, of those on the parts of `by`: splits that differ in what of D is forgotten."""
    assert np.array_equal(by.train, wanted.train), "an original is shared only where its training samples are the same"
    everything = np.concatenate([stored["retain"], stored["forget"]])
    place = np.argsort(np.concatenate([by.retain, by.forget]))  # of each training sample in `everything`
    own = {
        name: everything[place[np.searchsorted(by.train, rows)]]
        for name, rows in (("retain", wanted.retain), ("forget", wanted.forget))
    }
    return {**stored, **own}


def accuracies(logits: Logits, split_data: SplitData) -> dict[str, float]:
    """By part, without the test part: what `search.objective` holds trials against."""
    return searched_accuracies(logits, split_data.labels, split_data.counted)
