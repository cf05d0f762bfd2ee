"""How the data of a deletion are divided: what is retained, what is deleted, and what tells whether that worked.

Of the training part all that is not deleted is retained. Of the test part, which the model was not trained on, all is
held out for the checks, but for what a method needs as validation data: that is in no check.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.samples import Data, Indices, Labels, classes_of
from deepunlearn.core.seeding import derive_seed32
from deepunlearn.core.split import Split
from deepunlearn.data.splits import stratified
from deepunlearn.deletion.intervals import enough_for, least_drop
from deepunlearn.deletion.report import Limits
from deepunlearn.forget.matching import by_class
from deepunlearn.metrics import FOLDS

VALIDATION = 0.2  # of the test part, for a method that reads validation data
LEAST = FOLDS  # samples: of what is retained, of validation data, and on either side of the attack


@dataclass(frozen=True, eq=False)
class Division:
    """retain, forget: numbers of training samples; held_out, val: of test samples; all sorted int64.

    compared: positions in `forget` of the samples that the attack looks at, which are those of classes that held-out
    samples have; unseen: positions in `held_out` of samples that match them by class; twins: positions in `held_out`,
    as many of each class as are deleted, None where there are too few. forgotten_classes: of which none is retained.
    """

    retain: Indices
    forget: Indices
    held_out: Indices
    val: Indices
    compared: Indices
    unseen: Indices
    twins: Indices | None
    forgotten_classes: tuple[int, ...]

    @property
    def split(self) -> Split:
        """Of the training part alone: held-out and validation samples together are its test part."""
        nobody = np.zeros(0, dtype=np.int64)
        return Split(self.retain, self.forget, nobody, np.union1d(self.held_out, self.val))


def divide(data: Data, deleted: Indices, *, validation: bool, seed: int, limits: Limits) -> Division:
    """deleted: sorted numbers of training samples. Raises ConfigError where too little is left, or to check with."""
    retain = np.setdiff1d(np.arange(len(data.train_labels)), deleted)
    check_retained(len(retain), len(data.train_labels))
    held_out, val = _cut(data.test_labels, validation, seed)
    _check_held_out(len(held_out), len(val), limits)
    own, others = data.train_labels[deleted], data.test_labels[held_out]
    compared = np.flatnonzero(np.isin(own, others))
    random = np.random.RandomState(derive_seed32("deletion", "unseen", str(seed)))
    lost = classes_of(own) - classes_of(data.train_labels[retain])
    return Division(
        retain=retain,
        forget=deleted,
        held_out=held_out,
        val=val,
        compared=compared,
        unseen=by_class(own[compared], others, random),
        twins=_twins(own, others, random),
        forgotten_classes=tuple(sorted(lost)),
    )


def _cut(labels: Labels, validation: bool, seed: int) -> tuple[Indices, Indices]:
    """The test part as held-out and validation samples; the latter have each class in proportion."""
    everything = np.arange(len(labels), dtype=np.int64)
    if not validation:
        return everything, everything[:0]
    random = np.random.RandomState(derive_seed32("deletion", "validation", str(seed)))
    val = stratified(labels, max(LEAST, round(VALIDATION * len(labels))), random, keep=1)
    return np.setdiff1d(everything, val), val


def _twins(own: Labels, others: Labels, random: np.random.RandomState) -> Indices | None:
    wanted = np.bincount(own, minlength=1 + max(own.max(), others.max()))
    order = random.permutation(len(others))
    rank: npt.NDArray[np.int64] = np.zeros(len(others), dtype=np.int64)
    for label in np.flatnonzero(wanted):
        ones = order[others[order] == label]
        if len(ones) < wanted[label]:
            return None
        rank[ones] = np.arange(len(ones))
    return np.flatnonzero(rank < wanted[others])


def check_retained(retained: int, training: int) -> None:
    """Raises ConfigError where the list names everything, or nearly."""
    if retained < LEAST:
        raise ConfigError(
            "the list names all training samples, or nearly: nothing is left that the model should go on to know",
            given=f"{training - retained} of {training} training samples",
            allowed=f"at least {LEAST} samples that are retained",
            remedy="list fewer samples; a model that should know none of them is deleted as a whole",
        )


def _check_held_out(held_out: int, validation: int, limits: Limits) -> None:
    """Few samples cannot show that little was lost, whatever the model is like: refused before anything is computed."""
    if held_out >= LEAST and least_drop(held_out) <= limits.accuracy_drop:
        return
    enough = max(LEAST, enough_for(limits.accuracy_drop))
    taken = f", {validation} more are the method's validation data" if validation else ""
    possible = f", or allow checks.accuracy_drop={least_drop(held_out) + 5e-4:.3f}" if held_out >= LEAST else ""
    raise ConfigError(
        "the test part is too small to show that no more accuracy was lost than is allowed",
        given=f"{held_out} held-out samples{taken}, checks.accuracy_drop={limits.accuracy_drop:g}",
        allowed=f"at least {enough} held-out samples",
        remedy=f"add test samples that the model was not trained on{possible}",
    )
