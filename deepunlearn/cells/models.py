"""Keys of what methods make of an original: records, unlearned models, their scores and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from deepunlearn.cells.references import ReferenceKeys
from deepunlearn.core import keys
from deepunlearn.core.batches import FIRST, SPREAD
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.keys import (
    GivenKey,
    GroupKey,
    MeasureKey,
    MetricsKey,
    RecordKey,
    ReferenceKey,
    RowKey,
    SearchKey,
    SplitKey,
    UnlearnedKey,
)
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value
from deepunlearn.core.passes import runs_differ
from deepunlearn.core.seeding import derive_seed, derive_seed32
from deepunlearn.core.sharding import Placement, placed
from deepunlearn.core.split import Split
from deepunlearn.core.words import number_of
from deepunlearn.forget.bank import digest_of, scores_of
from deepunlearn.metrics import VERSION as METRICS_VERSION


class ModelKeys(ReferenceKeys):
    """Builds the keys of a cell up to the row of an unlearned model whose hyper-parameters are known."""

    def _unlearned_by(self, method: MethodConfig, seed: int, values: Mapping[str, Sequence[Value] | None]) -> int:
        """The same of an unlearning run, or of any of several; `values` as in `runs_differ`."""
        return SPREAD if runs_differ(method, self.sizes_of_run(seed), values) else FIRST

    def sizes_of_run(self, seed: int) -> Mapping[str, int]:
        """Samples of the parts that a method is given: of several requests it forgets the last one."""
        sizes = self._sizes(seed)
        earlier = self.before._sizes(seed)["forget"] if self.before else 0
        return {**sizes, "forget": sizes["forget"] - earlier} if earlier else sizes

    def randomness_of(self, seed: int) -> str:
        """What the randomness of unlearning the model of `seed` derives from: equal for all methods.

        Of a given original it does not depend on the recipe, nor on whether there is one: nor does the method.
        """
        if self.cell.given is not None:
            own = self._own_forget_set(seed)
            return self.reference("original", seed).hash + ("" if own is None else own.hash)
        return self.reference("retrained" if self._own_forget_set(seed) else "original", seed).hash

    def run_seed(self, method: MethodConfig, seed: int, drawn: str | None = None) -> int:
        """The random state under which `method` unlearns the model of `seed`; trials have drawn=None."""
        return derive_seed("unlearn", self.randomness_of(seed), method.name, *([drawn] if drawn else []))

    def record(self, method: MethodConfig, params: Mapping[str, Value], seed: int) -> RecordKey:
        """Of the training of the original that the models of `seed` are made from; for a method that needs one."""
        assert method.records is not None
        return RecordKey(
            original=self.reference("original", seed),
            needs=method.records,
            forget=self._trained_on("retrained", seed)[0] if method.records == "updates" else None,
            version=keys.RECORD_VERSION,
            values={name: params[name] for name in method.with_role("record")},
            earlier=self.before.split if self.before and method.records == "updates" else None,
        )

    def placement(self, key: RecordKey, train_labels: npt.NDArray[np.int64]) -> Placement:
        """Where the samples of the training part are, of a record of shards. Raises ConfigError where it cannot be.

        train_labels: int64 [N], in the order of the training part.
        """
        likely = int(key.values["likely_class"])
        if likely >= self.classes:
            raise ConfigError(
                "likely_class is no class of this dataset",
                given=likely,
                allowed=f"-1 for none, 0 to {self.classes - 1}",
                remedy="give method.sisa.params.likely_class=-1",
            )
        chosen = train_labels == likely if likely >= 0 else None
        shards, slices = int(key.values["shards"]), int(key.values["slices"])
        return placed(len(train_labels), shards, slices, derive_seed32("placement", key.original.hash), chosen)

    def difficulty(self, method: MethodConfig, seed: int) -> str | None:
        """What identifies the scores that `method` goes by; None where it goes by none."""
        if method.needs != "difficulty":
            return None
        return self.confidence_of(seed).hash if method.bank is None else digest_of(self.memorised(method))

    def memorised(self, method: MethodConfig) -> npt.NDArray[np.float64]:
        """[N] of the whole training part, from the bank of `method`; NaN where it has none. Raises ConfigError."""
        assert method.bank is not None
        if method.bank not in self._banks:
            self._banks[method.bank] = scores_of(method.bank, self._data, method.bank_option)
        return self._banks[method.bank]

    @cached_property
    def _banks(self) -> dict[str, npt.NDArray[np.float64]]:
        return {}

    def check_bank(self, method: MethodConfig, split: Split) -> None:
        """Raises ConfigError where the bank of `method` lacks a sample that is forgotten."""
        if method.bank is None:
            return
        missing = split.forget[np.isnan(self.memorised(method)[split.forget])]
        if len(missing):
            raise ConfigError(
                f"{method.bank_option} has no score for {number_of(len(missing), 'forget sample')}",
                given=f"{method.bank_option}={method.bank}: none for {', '.join(map(str, missing[:10]))}",
                allowed="a score for each sample that is forgotten",
                remedy="give dataset.limit, dataset.val_ratio and dataset.split_seed as the bank had them, or leave "
                f"{method.bank_option} out, to go by confidence",
            )

    def unlearned(
        self,
        method: MethodConfig,
        params: dict[str, Value],
        seed: int,
        drawn: str | None = None,
        earlier: UnlearnedKey | None = None,
    ) -> UnlearnedKey:
        """earlier: the model of the round before, where there is one."""
        return UnlearnedKey(
            forget=self._own_forget_set(seed),
            original=self.reference("original", seed),
            method=method.name,
            method_version=method.version,
            params=params,
            code=method.code,
            drawn=drawn,
            batches=self._unlearned_by(method, seed, {name: (value,) for name, value in params.items()}),
            difficulty=self.difficulty(method, seed),
            earlier=earlier,
        )

    def metrics(self, subject: UnlearnedKey | ReferenceKey, seed: int) -> MetricsKey:
        retrained = self.retrained(seed)
        split = self._told_apart(subject, retrained)
        return MetricsKey(subject=subject, retrained=retrained, version=METRICS_VERSION, split=split)

    def measure(self, subject: UnlearnedKey | ReferenceKey, seed: int, measure: Measure) -> MeasureKey:
        """The key of a measure that has entries of its own."""
        retrained = self.retrained(seed)
        return MeasureKey(
            subject=subject,
            retrained=retrained,
            measure=measure.name,
            version=measure.version,
            code=measure.code,
            split=self._told_apart(subject, retrained),
        )

    def _told_apart(self, subject: UnlearnedKey | ReferenceKey, retrained: ReferenceKey | None) -> SplitKey | None:
        """What says which samples are forgotten, where no model does: a given original is that of all forget sets."""
        return self.split if retrained is None and isinstance(subject, ReferenceKey) else None

    def group(self, subjects: Sequence[UnlearnedKey], seeds: Sequence[int], measure: Measure) -> GroupKey:
        """The key of a measure over the models of these seeds."""
        return GroupKey(
            subjects=tuple(subjects),
            retrained=tuple(self.reference("retrained", seed) for seed in seeds),
            measure=measure.name,
            version=measure.version,
            code=measure.code,
        )

    def row(self, metrics: MetricsKey, search: SearchKey | GivenKey | None) -> RowKey:
        cell = None if self.cell.given is None else self.cell_key.short
        round = None if self.rounds is None else self.rounds.round
        return RowKey(metrics=metrics, search=search, cell=cell, sequence=self.sequence, round=round)
