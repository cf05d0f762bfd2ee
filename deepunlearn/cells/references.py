"""Keys of splits, of originals and of retrained models: what there is before any method runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from deepunlearn.core import keys
from deepunlearn.core.batches import FIRST, SPREAD, differ
from deepunlearn.core.forget import ForgetSet, Role
from deepunlearn.core.identity import Key
from deepunlearn.core.keys import CellKey, ConfidenceKey, ReferenceKey, SequenceKey, SplitKey
from deepunlearn.core.samples import Data, Labelled
from deepunlearn.core.schema import CellConfig
from deepunlearn.core.split import Split, Splits
from deepunlearn.core.store import Place
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.random import RandomForget
from deepunlearn.forget.rounds import RoundsForget

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


class ReferenceKeys:
    """Builds the keys of splits and references of `cell`, whose data has this digest and number of classes.

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
        before: Callable[[], Self] | None = None,
    ) -> None:
        self.cell, self.classes, self._sizes, self._stored = cell, classes, sizes, stored
        self._data_digest, self._data = data_digest, data or Labelled()
        self._before = before
        self._originals: dict[int, SplitKey] = {}
        self.rounds = cell.forget if isinstance(cell.forget, RoundsForget) else None
        self._sharing = self._shared_by
        self.shared = self._split_of(self._sharing) if self._sharing else self.split

    @property
    def _shared_by(self) -> ForgetSet | None:
        """The forget set that names the original, where others have the same: the rounds of a sequence always do."""
        kind = self.rounds.of if self.rounds else self.cell.forget
        return SHARED if kind.shares_original else kind if self.rounds else None

    @cached_property
    def before(self) -> Self | None:
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

    def _recipe(self) -> dict[str, Any]:
        train, dataset = self.cell.train, self.cell.dataset
        return {
            **train.model_dump(),
            "crop_padding": dataset.crop_padding,
            "flip": dataset.flip,
            "precision": self.cell.precision,
            "network": self.cell.arch.identity,
        }
