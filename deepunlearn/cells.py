"""The keys of one cell: what each result of a dataset x architecture is called. Torch-free, so planning is quick."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from deepunlearn.core import keys
from deepunlearn.core.batches import FIRST, SPREAD, differ
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import ForgetSet, Role
from deepunlearn.core.identity import Key, canonical_json
from deepunlearn.core.keys import (
    CellKey,
    ConfidenceKey,
    GivenKey,
    GroupKey,
    MeasureKey,
    MetricsKey,
    RecordKey,
    ReferenceKey,
    ResultSetKey,
    RowKey,
    SearchKey,
    SequenceKey,
    SplitKey,
    StudyKey,
    UnlearnedKey,
)
from deepunlearn.core.measure_config import Measure
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Range, Value
from deepunlearn.core.passes import runs_differ
from deepunlearn.core.samples import Data, Labelled
from deepunlearn.core.schema import CellConfig, SearchConfig, SweepConfig
from deepunlearn.core.seeding import derive_seed, derive_seed32
from deepunlearn.core.sharding import Placement, placed
from deepunlearn.core.split import Split, Splits
from deepunlearn.core.store import Place
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.bank import digest_of, scores_of
from deepunlearn.forget.random import RandomForget
from deepunlearn.forget.rounds import RoundsForget
from deepunlearn.metrics import VERSION as METRICS_VERSION

Source = Literal["search", "default", "file"]
REFERENCES: tuple[Role, Role] = ("original", "retrained")
NO_RECIPE = {"epochs": 0, "lr": 0.0, "momentum": 0.0, "weight_decay": 0.0, "batch_size": 0}  # in keys
NOT_AUGMENTED = {"crop_padding": 0, "flip": False}
WATCHED_SEED = 0  # of the original whose confidence is asked for
SHARED = RandomForget(name="random", ratio=0.1)  # names the originals that all forget sets share, as it always has


class Drawn(Data, Protocol):
    """What a split is drawn from: data, and the training samples that take no part."""

    @property
    def dropped(self) -> npt.NDArray[np.int64]: ...


def references_of(cell: CellConfig) -> tuple[Role, ...]:
    """The models beside those that a method has made, as far as there are any."""
    return REFERENCES if cell.retrains else REFERENCES[:1]


class CellKeys:
    """Builds the keys of `cell`, whose data has this digest and number of classes.

    sizes: seed -> samples of the retain, forget and validation set of its models. data: the same data, which forget
    sets that name classes, attributes or samples are read against. stored: whether there is an entry. before: the keys
    of the round before, where requests arrive one after the other.
    """

    def __init__(
        self,
        cell: CellConfig,
        data_digest: str,
        classes: int,
        sizes: Callable[[int], Mapping[str, int]],
        data: Data | None = None,
        *,
        stored: Callable[[Key, Place], bool] = lambda key, place: False,
        before: Callable[[], CellKeys] | None = None,
    ) -> None:
        self.cell, self.classes, self._sizes, self._stored = cell, classes, sizes, stored
        self._data_digest, self._data = data_digest, data or Labelled()
        self._before = before
        self._originals: dict[int, SplitKey] = {}
        self._banks: dict[str, npt.NDArray[np.float64]] = {}
        self.rounds = cell.forget if isinstance(cell.forget, RoundsForget) else None
        self._sharing = self._shared_by
        self.shared = self._split_of(self._sharing) if self._sharing else self.split

    @property
    def _shared_by(self) -> ForgetSet | None:
        """The forget set that names the original, where others have the same: the rounds of a sequence always do."""
        kind = self.rounds.of if self.rounds else self.cell.forget
        return SHARED if kind.shares_original else kind if self.rounds else None

    @cached_property
    def before(self) -> CellKeys | None:
        """Of the round before; None of a first round, and without rounds."""
        return self._before() if self._before and self.rounds and self.rounds.round > 1 else None

    @cached_property
    def split(self) -> SplitKey:
        """What is retained, forgotten and held out."""
        if self.rounds is None:
            return self._split_of(self.cell.forget)
        return self._split_key(**self._told(self.rounds.union_fields(self._data, self._sizes(0)["forget"])))

    def _split_of(self, forget: ForgetSet) -> SplitKey:
        return self._split_key(**self._told(forget.key_fields(self._data), forget))

    def _told(self, fields: dict[str, Any], forget: ForgetSet | None = None) -> dict[str, Any]:
        """`fields` of a split's key, with what they leave out of a forget set that goes by confidence."""
        if not (forget or self.cell.forget).by_confidence:
            return fields
        return {**fields, "forget_values": {**fields["forget_values"], "confidence": self.confidence.hash}}

    @cached_property
    def sequence(self) -> SequenceKey | None:
        """Which sequence of requests this is a round of."""
        if self.rounds is None:
            return None
        return SequenceKey(whole=self._split_of(self.rounds.of), **self.rounds.cut_fields(self._data))

    def _split_key(self, **forget: Any) -> SplitKey:
        dataset = self.cell.dataset
        return SplitKey(
            data_digest=self._data_digest,
            image_size=dataset.image_size,
            limit=dataset.limit,
            val_ratio=dataset.val_ratio,
            split_seed=dataset.split_seed,
            version=keys.SPLIT_VERSION,
            **forget,
        )

    @cached_property
    def confidence(self) -> ConfidenceKey:
        """Of the training of an original that is watched, for forget sets that go by it."""
        original = self._reference(self.shared, "original", WATCHED_SEED, WATCHED_SEED)
        return ConfidenceKey(original=original, version=keys.CONFIDENCE_VERSION)

    def confidence_of(self, seed: int) -> ConfidenceKey:
        """The same of the original that the model of `seed` is made from."""
        if self.cell.forget.by_confidence and seed == WATCHED_SEED:
            return self.confidence  # known before the split is
        original = self.reference("original", self.cell.forget.reference_seed("original", seed))
        return ConfidenceKey(original=original, version=keys.CONFIDENCE_VERSION)

    def make_splits(self, data: Drawn, confidence: npt.NDArray[np.float64] | None = None) -> Splits:
        """What `split` names. Raises ConfigError where it cannot be made.

        confidence: in each sample of the training part; until that is known, sizes are all that is known of some.
        """
        return self._drawn(data, self.cell.forget, checked=True, confidence=confidence)

    def make_shared(self, data: Drawn) -> Split:
        """What `shared` names, where that is another split than `split`: the one that shared outputs are stored by."""
        return self._drawn(data, self._sharing or SHARED, checked=False).of(0)

    def _drawn(
        self, data: Drawn, forget: ForgetSet, *, checked: bool, confidence: npt.NDArray[np.float64] | None = None
    ) -> Splits:
        dataset = self.cell.dataset
        return make_splits(
            data.train_labels,
            data.test_labels,
            dropped=data.dropped,
            class_names=data.class_names,
            attributes=data.attributes,
            confidence=confidence,
            limit=dataset.limit,
            val_ratio=dataset.val_ratio,
            forget=forget,
            seed=dataset.split_seed,
            checked=checked,
        )

    def _trained_on(self, role: Role, seed: int) -> tuple[SplitKey, int]:
        """The split of a reference, and the seed of its initial weights."""
        fields, initial = self.cell.forget.trained_on(role, seed)
        if role == "original" and self.shared != self.split:
            return self.shared if self.rounds else self._split_of_original(seed), initial
        return self.split.model_copy(update=fields) if fields else self.split, initial

    def _split_of_original(self, seed: int) -> SplitKey:
        """`shared`, or where an earlier version trained an original for this forget set alone, that one's.

        Looked up once for each seed: no version that shares originals adds one of the other kind.
        """
        if self.cell.given is not None:
            return self.shared
        if seed not in self._originals:
            own = self._reference(self.split, "original", seed, self.cell.forget.trained_on("original", seed)[1])
            kept = self._stored(own, self.place("original", seed))
            self._originals[seed] = self.split if kept else self.shared
        return self._originals[seed]

    def _own_forget_set(self, seed: int) -> SplitKey | None:
        """The split of the retrained model of `seed`, where the original's does not name the forget set."""
        split = self._trained_on("retrained", seed)[0]
        return None if split == self._trained_on("original", seed)[0] else split

    def place(self, method: str = "-", seed: int | None = None) -> Place:
        return Place(self.cell.dataset.name, self.cell.arch.name, method, seed)

    @property
    def cell_key(self) -> CellKey:
        if self.rounds is None:
            return self._cell_of(self.split)
        return self._cell_of(self.split, sequence=self.sequence, round=self.rounds.round)

    @property
    def sequence_id(self) -> str | None:
        """What the rounds of a sequence have in common; None without rounds."""
        return None if self.sequence is None else self._cell_of(self.sequence.whole, sequence=self.sequence).short

    def _cell_of(self, split: SplitKey, **of_rounds: Any) -> CellKey:
        given = None if self.cell.given is None else self.cell.given.identity
        recipe = self._recipe() if self.cell.retrains else {**self._recipe(), **NO_RECIPE}
        return CellKey(split=split, arch=self.cell.arch.name, given=given, **of_rounds, **recipe)

    def trains_for(self, role: Role, seed: int) -> CellKey:
        """The cell that a reference is trained for, without rounds; of an original that forget sets share, that which
        names it.
        """
        shared = role == "original" and self._trained_on(role, seed)[0] == self.shared
        return self._cell_of(self.shared if shared else self.split)

    def reference(self, role: Role, seed: int) -> ReferenceKey:
        assert role in references_of(self.cell), "nothing is held against a model that there is not"
        split, initial = self._trained_on(role, seed)
        made = self._reference(split, role, seed, initial)
        return self._as_given(made, seed) if role == "original" else made

    def _as_given(self, original: ReferenceKey, seed: int) -> ReferenceKey:
        """The key of an original that was given: its file in place of a training."""
        if self.cell.given is None:
            return original
        nothing = {**NO_RECIPE, **NOT_AUGMENTED, "batches": FIRST, "streams": None}
        return original.model_copy(update={**nothing, "given": self.cell.given.of(seed).digest})

    def retrained(self, seed: int) -> ReferenceKey | None:
        """The retrained model of `seed`; None where there is none."""
        return self.reference("retrained", seed) if self.cell.retrains else None

    def _reference(self, split: SplitKey, role: Role, seed: int, initial: int) -> ReferenceKey:
        dataset = self.cell.dataset
        return ReferenceKey(
            split=split,
            role=role,
            arch=self.cell.arch.name,
            classes=self.classes,
            seed=initial,
            mean=dataset.mean,
            std=dataset.std,
            version=keys.TRAINING_VERSION,
            streams=keys.STREAMS if self.cell.arch.draws else None,
            batches=self._trained_by(role, seed),
            **self._recipe(),
        )

    def _trained_by(self, role: Role, seed: int) -> int:
        """The rule that cut the batches of a training, where that makes a difference."""
        sizes = self._sizes(seed)
        samples = sizes["retain"] + (sizes["forget"] if role == "original" else 0)
        return SPREAD if differ(samples, self.cell.train.batch_size) else FIRST

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

    def report_draw(self, sweep: SweepConfig, method: MethodConfig, seed: int) -> str | None:
        """`drawn` of a report: its own where the search ran on `seed`, else the winning trial itself is reported."""
        searched = self.source(sweep, method) == "search" and seed in sweep.search_seeds(self.cell)
        return keys.REPORT if searched else None

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

    def check_bank(self, method: MethodConfig, split: Split) -> None:
        """Raises ConfigError where the bank of `method` lacks a sample that is forgotten."""
        if method.bank is None:
            return
        missing = split.forget[np.isnan(self.memorised(method)[split.forget])]
        if len(missing):
            raise ConfigError(
                f"{len(missing):,} forget samples have no score in {method.bank_option}",
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

    def study(
        self,
        method: MethodConfig,
        search: SearchConfig,
        seed: int,
        earlier: SearchKey | None = None,
        further: Sequence[int] = (),
    ) -> StudyKey:
        """earlier: `chosen_before`; further: the other seeds of a study that is shared."""
        assert search.sampler and search.objective
        ranges = self.ranges(method, search)
        tried = {name: limits.options() for name, limits in ranges.items()}
        known = {name: (value,) for name, value in method.complete({}).items()}
        return StudyKey(
            original=self.reference("original", seed),
            retrained=self.reference("retrained", seed),
            method=method.name,
            method_version=method.version,
            ranges=ranges,
            fixed=method.fixed,
            sampler=search.sampler,
            objective=search.objective,
            population_size=search.population_size,
            prune=search.prune,
            pruner=search.pruner,
            first_look=method.first_look if search.pruner == "halving" else None,
            look_samples=search.look_samples,
            version=keys.SCORE_VERSION,
            code=method.code,
            batches=self._unlearned_by(method, seed, {**known, **tried}),
            difficulty=self.difficulty(method, seed),
            earlier=earlier,
            further=tuple((self.reference("original", one), self.reference("retrained", one)) for one in further),
            starts=self.starts(method, search),
        )

    def starts(self, method: MethodConfig, search: SearchConfig) -> dict[str, dict[str, Value]]:
        """Where they are from -> values that the first trials have, in this order, each once.

        Of `search.winners` those of the method in whatever cell: `digits/resnet18`, by name.
        """
        found = {"defaults": method.complete({})} if search.from_defaults else {}
        for name, values in sorted(search.winners.items()):
            cell, _, of = name.rpartition("/")
            if of == method.name and (complete := method.complete(values)) not in found.values():
                found[cell] = complete
        return found

    def ranges(self, method: MethodConfig, search: SearchConfig) -> dict[str, Range]:
        """What is searched: every parameter that is not fixed by hand."""
        limit, largest, fixed = self.cell.epoch_limit(search), self.cell.dataset.max_batch_size, method.fixed
        return {
            name: spec.range(name, search.space, limit, largest)
            for name, spec in method.space.items()
            if spec.searched and name not in fixed
        }

    def chosen_by(self, sweep: SweepConfig, method: MethodConfig) -> SearchKey | GivenKey:
        """What decides the hyper-parameters of `method` in this sweep."""
        source = self.source(sweep, method)
        if source == "search" and self.searched_before is not None:
            return self.searched_before.chosen_by(sweep, method)
        if source != "search":
            return GivenKey(protocol=sweep.protocol.name, source=source)
        search, earlier = sweep.search, self.chosen_before(sweep, method)
        return SearchKey(
            studies=tuple(
                self.study(method, search, seed, earlier, others) for seed, *others in sweep.study_seeds(self.cell)
            ),
            trials=search.trials,
            selection=search.selection,
            candidates=search.candidates if search.selection == "robust" else None,
            protocol=sweep.protocol.name,
            space=search.space,
            drawn=keys.SELECTION if search.selection == "robust" else None,
        )

    def chosen_before(self, sweep: SweepConfig, method: MethodConfig) -> SearchKey | None:
        """What chose the values of the round before, whose models the trials of this one are made from, if any."""
        key = self.before.chosen_by(sweep, method) if self.before else None
        return key if isinstance(key, SearchKey) else None

    @property
    def searched_before(self) -> CellKeys | None:
        """Of the round before, where hyper-parameters are searched in the first round only; None of that one."""
        return self.before if self.rounds and self.rounds.search_rounds == "first" else None

    def source(self, sweep: SweepConfig, method: MethodConfig) -> Source:
        """Where hyper-parameters come from: hparams=FILE, a search, or the defaults."""
        if sweep.hparams:
            return "file"
        return "search" if sweep.search.sampler and self.ranges(method, sweep.search) else "default"

    def given(self, sweep: SweepConfig, method: MethodConfig) -> dict[str, Value]:
        """The values where none are searched. Raises ConfigError where hparams=FILE lacks this cell and method.

        What the file says of dataset, architecture and method alone is of all forget sets that it does not name.
        """
        if not sweep.hparams:
            return method.complete({})
        name = f"{self.cell.name}/{method.name}"
        found = next((one for one in (name, f"{self.cell.short_name}/{method.name}") if one in sweep.hparams), None)
        if found is None:
            raise ConfigError(
                f"the hparams file has no entry for {name}",
                given=name,
                allowed=", ".join(sorted(sweep.hparams)),
                remedy="add it to the file, or leave this method or cell out of the sweep",
            )
        return method.complete(sweep.hparams[found])

    def check_blocks(self, method: MethodConfig, values: Mapping[str, Value], blocks: int | None) -> None:
        """Raises ConfigError where a value counts more of the network's blocks than there are; null: not known."""
        for name, spec in method.space.items():
            value = values.get(name)
            if spec.between and spec.between[-1] == "blocks" and isinstance(value, int) and value > (blocks or value):
                raise ConfigError(
                    f"{name} of method {method.name} is larger than the number of blocks of {self.cell.arch.name}",
                    given=f"{name}={value}",
                    allowed=f"1 to {blocks}",
                    remedy=f"lower {name}, or leave it out",
                )

    def result_set(self, sweep: SweepConfig, method: MethodConfig) -> ResultSetKey:
        source = self.source(sweep, method)
        searched: Mapping[str, Any] = {}
        changed = list(method.changed)
        if source == "search":
            searched = sweep.search.identity
            if sweep.search.winners:
                searched = {**searched, "winners": hash_of(sweep.search.winners)}
            if self.rounds and self.rounds.search_rounds == "each":
                searched = {**searched, "rounds": "each"}
        if method.bank is not None:
            changed.append(f"{method.bank_option}={digest_of(self.memorised(method))[:8]}")
        if source == "file":
            changed.append(f"hparams={hash_of(sweep.hparams)}")
        return ResultSetKey(
            cell=self.cell_key,
            protocol=sweep.protocol.name,
            source=source,
            search=dict(searched),
            changed=tuple(sorted(changed)),
        )

    def _recipe(self) -> dict[str, Any]:
        train, dataset = self.cell.train, self.cell.dataset
        return {
            **train.model_dump(),
            "crop_padding": dataset.crop_padding,
            "flip": dataset.flip,
            "precision": self.cell.precision,
            "network": self.cell.arch.identity,
        }


def hash_of(value: Any) -> str:
    """Eight hex digits that tell contents apart."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:8]
