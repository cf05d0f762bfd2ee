"""The cells of a sweep by their numbers: data, splits and keys of each. Imports no torch; reads or decodes the data."""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path

from deepunlearn.cells import CellKeys
from deepunlearn.core.errors import ConfigError, MissingData
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import Features, Inputs, SweepConfig
from deepunlearn.core.split import Splits
from deepunlearn.core.store import Store
from deepunlearn.data.decoded import Digest, as_published, digest_of
from deepunlearn.forget.rounds import RoundsForget


class Cells:
    """Knows the data, the splits and the keys of each cell of a sweep."""

    def __init__(self, sweep: SweepConfig, progress: Progress, *, only_plan: bool = False) -> None:
        """only_plan: nothing will run, so datasets whose files are missing are taken to be as published."""
        self.sweep, self.progress, self._only_plan = sweep, progress, only_plan
        self.missing: dict[str, MissingData] = {}  # what was found when looking for each dataset that is not there
        self.results = Results(Path(sweep.results))
        self._digests: dict[int, Digest] = {}
        self._splits: dict[int, Splits] = {}

    @cached_property
    def keys(self) -> list[CellKeys]:
        """The keys of each cell; reads or decodes the data where that has not been done yet."""
        return [self._cell_keys(cell) for cell in range(len(self.sweep.cells))]

    def _cell_keys(self, cell: int) -> CellKeys:
        data = self.data(cell)
        sizes, stored = partial(self._sizes_of, cell), Store(self.results.store).has
        classes, before = len(data.class_names), self.before(cell)
        earlier = None if before is None else lambda: self.keys[before]
        return CellKeys(self.sweep.cells[cell], data.digest, classes, sizes, data, stored=stored, before=earlier)

    def before(self, cell: int) -> int | None:
        """The cell of the round before; None of a first round, and without rounds."""
        forget = self.sweep.cells[cell].forget
        if not isinstance(forget, RoundsForget) or forget.round == 1:
            return None
        update = {"forget": forget.at(forget.round - 1)}
        return self.sweep.cells.index(self.sweep.cells[cell].model_copy(update=update))

    def round_of(self, cell: int) -> int:
        """The number of the request that a cell forgets; 1 without rounds."""
        forget = self.sweep.cells[cell].forget
        return forget.round if isinstance(forget, RoundsForget) else 1

    def network_inputs(self, cell: int) -> Inputs:
        """What the network of a cell is built for."""
        features, size = self.data(cell).features, self.sweep.cells[cell].dataset.image_size
        return Features(len(features or ())) if size is None else size

    def sizes(self, cell: int) -> dict[str, int]:
        """Samples of retain, forget, val and test part, of the models of the first seed."""
        return self._sizes_of(cell, 0)

    def _sizes_of(self, cell: int, seed: int) -> dict[str, int]:
        """The same for the models of `seed`: forget sets of a design may differ by a sample."""
        return self.splits(cell).sizes(seed)

    def splits(self, cell: int) -> Splits:
        """The splits of a cell's models."""
        if cell not in self._splits:
            self._splits[cell] = self.keys[cell].make_splits(self.data(cell))
        return self._splits[cell]

    def data(self, cell: int) -> Digest:
        """Labels and identity of a cell's data; read or decoded where that has not been done yet."""
        if cell not in self._digests:
            self._digests[cell] = self._find(cell)
        return self._digests[cell]

    def _find(self, cell: int) -> Digest:
        config = self.sweep.cells[cell].dataset
        try:
            return digest_of(config, self.results.cache, self.progress)
        except MissingData as error:
            assumed = as_published(config) if self._only_plan else None
            if assumed is None or not self._chooses_from(assumed, cell):
                raise
            self.missing[config.name] = error
            return assumed

    def _chooses_from(self, assumed: Digest, cell: int) -> bool:
        """Whether these data have what the forget set asks for: of most, attributes and names are in the files."""
        try:
            self.sweep.cells[cell].forget.key_fields(assumed)
        except ConfigError:
            return False
        return True
