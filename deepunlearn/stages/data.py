"""The data of a cell as its models divide it: the split stage, and what all stages share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from deepunlearn.cells import WATCHED_SEED, CellKeys
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig
from deepunlearn.core.split import Split
from deepunlearn.core.store import Entry, Place, Store
from deepunlearn.data.decoded import Decoded, load
from deepunlearn.data.loader import Part, make_parts
from deepunlearn.forget.rounds import RoundsForget
from deepunlearn.metrics.counted import EVERYTHING, Counted
from deepunlearn.runtime import Runtime

PARTS = ("retain", "forget", "val", "test")


Rows = Mapping[str, npt.NDArray[np.int64]]  # of parts positions of some samples, ascending


class SplitData:
    """The data as one or more models divide it."""

    def __init__(self, parts: dict[str, Part], counted: Counted = EVERYTHING) -> None:
        self.parts, self.counted = parts, counted

    @cached_property
    def labels(self) -> dict[str, npt.NDArray[np.int64]]:
        return {name: part.labels.cpu().numpy() for name, part in self.parts.items()}

    def among(self, rows: Rows) -> SplitData:
        """These samples alone, of these parts alone."""
        counted = self.counted
        for part, own in rows.items():
            counted = counted.among(part, own)
        return SplitData({part: self.parts[part].subset(own) for part, own in rows.items()}, counted)


class DataStage:
    """One cell on one device: its data, its keys and where results go."""

    def __init__(self, cell: CellConfig, results: Results, runtime: Runtime, progress: Progress) -> None:
        self.cell, self.results, self.runtime, self.progress = cell, results, runtime, progress
        self.store = Store(results.store)

    @cached_property
    def decoded(self) -> Decoded:
        return load(self.cell.dataset, self.results.cache, self.progress)

    @cached_property
    def keys(self) -> CellKeys:
        decoded, classes = self.decoded, len(self.decoded.class_names)
        earlier = None if self.before is None else partial(getattr, self.before, "keys")
        return CellKeys(self.cell, decoded.digest, classes, self.sizes, decoded, stored=self.store.has, before=earlier)

    @cached_property
    def before(self) -> Self | None:
        """The stages of the round before, on the same data; None of a first round, and without rounds."""
        forget = self.cell.forget
        if not isinstance(forget, RoundsForget) or forget.round == 1:
            return None
        cell = self.cell.model_copy(update={"forget": forget.at(forget.round - 1)})
        before = type(self)(cell, self.results, self.runtime, self.progress)
        before.decoded = self.decoded
        return before

    @cached_property
    def split(self) -> Split:
        """The split stage: sample numbers of each part."""
        key, place = self.keys.split, self.keys.place()
        entry = self.store.find(key, place)
        if entry is None:
            split = self.keys.make_splits(self.decoded, self._confidence()).of(0)
            with self.store.writing(key, place, {}) as draft:
                draft.write_arrays("split.npz", **split.arrays())
            entry = self.store.find(key, place)
            assert entry is not None
        return Split.of_arrays(entry.arrays("split.npz"))

    def _confidence(self) -> npt.NDArray[np.float64] | None:
        """How sure the original was of each sample of the training part, NaN of those that it is not trained on.

        None where the forget set does not go by it.
        """
        if not self.cell.forget.by_confidence:
            return None
        return self._sure(self._stored(self.keys.confidence, self.keys.place("original", WATCHED_SEED)))

    def _sure(self, entry: Entry) -> npt.NDArray[np.float64]:
        """[N] of the whole training part, of what was watched; NaN of samples that are not trained on."""
        stored, sure = entry.arrays("confidence.npz"), np.full(len(self.decoded.train_labels), np.nan)
        sure[stored["samples"]] = stored["confidence"]
        return sure

    @cached_property
    def shared_split(self) -> Split:
        """That by which the outputs of originals are stored that all forget sets of the data share."""
        return self.keys.make_shared(self.decoded)

    def sizes(self, seed: int) -> dict[str, int]:
        """Samples of each part, of the models of `seed`; here that is the same for all."""
        return self._sizes

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """Where the forget set goes by confidence, or by requests, they are known before the split's key is."""
        named_by_size = self.cell.forget.by_confidence or self.keys.rounds is not None
        return self.keys.make_splits(self.decoded).sizes(0) if named_by_size else self.split.sizes

    def split_of(self, seed: int) -> Split:
        """Sample numbers of each part, of the models of `seed`; here that is the same for all."""
        return self.split

    def split_data(self, seed: int) -> SplitData:
        """The data as the models of `seed` divide it; here that is the same for all."""
        return self._split_data

    @cached_property
    def _split_data(self) -> SplitData:
        if self.cell.forget.by_confidence:
            return self._cut(self.shared_data, self.shared_split, self.split)  # the former is there first
        return self._uploaded(self.split)

    @cached_property
    def shared_data(self) -> SplitData:
        """The data by `shared_split`, so that what is stored does not depend on whose forget set it was trained for."""
        if self.cell.forget.by_confidence:
            return self._uploaded(self.shared_split)
        return self._cut(self._split_data, self.split, self.shared_split)

    @cached_property
    def earlier(self) -> npt.NDArray[np.bool_]:
        """bool [N]: which of the forgotten samples earlier requests were about; without rounds none."""
        forgotten = self.split.forget
        return np.isin(forgotten, self.before.split.forget) if self.before else np.zeros(len(forgotten), dtype=bool)

    def parts_of_run(self, seed: int) -> dict[str, Part]:
        """What the methods are given that unlearn the model of `seed`: of several requests they forget the last one."""
        parts = self.split_data(seed).parts
        if self.before is None:
            return parts
        return {**parts, "forget": parts["forget"].subset(np.flatnonzero(~self.earlier))}

    def _uploaded(self, split: Split) -> SplitData:
        parts = make_parts(self.decoded, split, self.cell.dataset, self.runtime.device, self.data_budget)
        return SplitData(parts, Counted.of(split))

    def _cut(self, data: SplitData, by: Split, wanted: Split) -> SplitData:
        """`data`, divided by another split with the same training samples: nothing is uploaded twice."""
        own = {
            name: data.parts["train"].subset(np.searchsorted(by.train, rows))
            for name, rows in (("retain", wanted.retain), ("forget", wanted.forget))
        }
        return SplitData({**data.parts, **own}, Counted.of(wanted))

    @property
    def data_budget(self) -> int:
        """Bytes of images that may lie on the device."""
        return int(self.runtime.config.data_budget_gb * 1e9)

    def _facts(self, **more: Any) -> dict[str, Any]:
        return {**self.runtime.describe(), **self.runtime.peak_memory(), **more}

    def _stored(self, key: Any, place: Place) -> Entry:
        entry = self.store.find(key, place)
        assert entry is not None, "an entry that was just written is there"
        return entry
