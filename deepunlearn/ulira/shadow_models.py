"""The models of a U-LiRA cell (protocol section 8): what they are trained on, and the little that is kept of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from deepunlearn.core.errors import SMALLER_RATE, Diverged
from deepunlearn.core.keys import ReferenceKey, UnlearnedKey
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import CellConfig, SweepConfig
from deepunlearn.core.split import Split
from deepunlearn.core.store import STATISTIC, Draft, Entry, Place
from deepunlearn.data.loader import Part, make_parts
from deepunlearn.forget.halves import Halves, HalvesForget
from deepunlearn.metrics.scores import SEARCH_PARTS
from deepunlearn.runtime import Runtime
from deepunlearn.stages.data import Rows, SplitData
from deepunlearn.stages.evaluation import Experiment
from deepunlearn.stages.references import accuracies
from deepunlearn.training import predict, save_weights
from deepunlearn.ulira.scores import scaled_confidence


class ShadowExperiment(Experiment):
    """A cell with `forget=halves`. Seeds are the design's models; its original is the halving's, shared by its parts.

    Kept of an original: weights and statistic; of a retrained model: statistic and the accuracies that a search needs;
    of an unlearned one: statistic and seconds.
    """

    def __init__(self, cell: CellConfig, results: Results, runtime: Runtime, progress: Progress) -> None:
        super().__init__(cell, results, runtime, progress)
        assert isinstance(cell.forget, HalvesForget)
        self.design = cell.forget
        self.split_data = lru_cache(maxsize=2)(self._divided)  # type: ignore[method-assign]

    @cached_property
    def halves(self) -> Halves:
        """The split stage of all models."""
        splits = self.keys.make_splits(self.decoded)
        assert isinstance(splits, Halves)
        return splits

    def sizes(self, seed: int) -> dict[str, int]:
        return self.halves.sizes(seed)

    def split_of(self, seed: int) -> Split:
        return self.halves.of(seed)

    @cached_property
    def _everything(self) -> dict[str, Part]:
        """The whole pool as `train`, with val and test: uploaded once, and normalised alike for all models."""
        none = np.empty(0, dtype=np.int64)
        whole = Split(retain=self.halves.pool, forget=none, val=self.halves.val, test=self.halves.test)
        return make_parts(self.decoded, whole, self.cell.dataset, self.runtime.device, self.data_budget)

    def _divided(self, seed: int) -> SplitData:
        halving, part = self.design.halving_and_part(seed)
        own, pool = self.halves.part[halving], self._everything["train"]
        members = {"retain": (own >= 0) & (own != part), "forget": own == part, "train": own >= 0}
        parts = {name: pool.subset(np.flatnonzero(chosen)) for name, chosen in members.items()}
        return SplitData({**parts, "val": self._everything["val"], "test": self._everything["test"], "pool": pool})

    def statistic(self, model: nn.Module) -> dict[str, npt.NDArray[Any]]:
        """On each sample of the pool: phi, the scaled confidence, float32; right, whether the label's logit is largest.

        Of several classes phi > 0 is more than right: p above a half. Raises Diverged where a logit is not finite.
        """
        pool = self._everything["train"]
        logits = predict(model, pool, self.runtime)
        if not np.isfinite(logits).all():
            raise Diverged(
                "the logits on the pool of samples are not finite",
                given="infinite or NaN logits",
                allowed="finite logits",
                remedy=SMALLER_RATE,
            )
        labels = pool.labels.cpu().numpy()
        return {"phi": scaled_confidence(logits, labels).astype(np.float32), "right": logits.argmax(axis=1) == labels}

    @contextmanager
    def _writing_reference(
        self, key: ReferenceKey, place: Place, model: nn.Module, split_data: SplitData, facts: dict[str, Any]
    ) -> Iterator[Draft]:
        statistic = self.statistic(model)
        with self.store.writing(key, place, facts) as draft:
            draft.write_arrays(STATISTIC, **statistic)
            if key.role == "original":
                save_weights(draft.path / "weights.safetensors", model)
            else:
                draft.write_json(
                    "accuracies.json", accuracies(self.predict(model, split_data, SEARCH_PARTS), split_data)
                )
            yield draft

    def retrained_accuracies(self, seed: int, rows: Rows | None = None) -> dict[str, float]:
        """On all samples, also where a trial is looked at on some: nothing more is kept of a retrained model."""
        stored: dict[str, float] = self.reference("retrained", seed).json("accuracies.json")
        return stored

    def evaluate(self, sweep: SweepConfig, method: MethodConfig, params: dict[str, Value], seed: int) -> None:
        """Unlearn one model; it is attacked together with all others."""
        self.unlearned(method, params, seed, sweep.keep, self.keys.report_draw(sweep, method, seed))

    def _store_unlearned(
        self, key: UnlearnedKey, place: Place, method: MethodConfig, params: dict[str, Value], keep: str
    ) -> Entry:
        """Unlearn; only the statistic and the seconds are stored."""
        assert place.seed is not None
        self.runtime.watch_memory()
        model, run = self._unlearn_shown(method, params, key, place.seed)
        facts = self._facts(seconds=run.seconds, notes=run.notes)  # first: scoring has a peak of its own
        statistic = self.statistic(model)
        with self.store.writing(key, place, facts) as draft:
            draft.write_arrays(STATISTIC, **statistic)
        return self._stored(key, place)
