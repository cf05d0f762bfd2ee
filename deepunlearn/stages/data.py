"""The data of a cell as its models divide it: the split stage, and what all stages share."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from deepunlearn.cells import CellKeys
from deepunlearn.core.forget import Split
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig
from deepunlearn.core.store import Entry, Place, Store
from deepunlearn.data.decoded import Decoded, load
from deepunlearn.data.loader import Part, make_parts
from deepunlearn.runtime import Runtime

PARTS = ("retain", "forget", "val", "test")
SEARCH_PARTS = ("retain", "forget", "val")  # the parts that a search may look at


class SplitData:
    """The data as one or more models divide it."""

    def __init__(self, parts: dict[str, Part]) -> None:
        self.parts = parts

    @cached_property
    def labels(self) -> dict[str, npt.NDArray[np.int64]]:
        return {name: part.labels.cpu().numpy() for name, part in self.parts.items()}


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
        return CellKeys(self.cell, decoded.digest, classes, self.sizes, decoded, stored=self.store.has)

    @cached_property
    def split(self) -> Split:
        """The split stage: sample numbers of each part."""
        key, place = self.keys.split, self.keys.place()
        entry = self.store.find(key, place)
        if entry is None:
            split = self.keys.make_splits(self.decoded).of(0)
            with self.store.writing(key, place, {}) as draft:
                draft.write_arrays("split.npz", **split.arrays())
            entry = self.store.find(key, place)
            assert entry is not None
        return Split.of_arrays(entry.arrays("split.npz"))

    @cached_property
    def shared_split(self) -> Split:
        """That by which the outputs of originals are stored that all forget sets of the data share."""
        return self.keys.make_shared(self.decoded)

    def sizes(self, seed: int) -> dict[str, int]:
        """Samples of each part, of the models of `seed`; here that is the same for all."""
        return self.split.sizes

    def split_data(self, seed: int) -> SplitData:
        """The data as the models of `seed` divide it; here that is the same for all."""
        return self._split_data

    @cached_property
    def _split_data(self) -> SplitData:
        return SplitData(make_parts(self.decoded, self.split, self.cell.dataset, self.runtime.device, self.data_budget))

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
