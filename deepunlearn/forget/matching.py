"""Unseen samples that are like a forget set: an attack on other ones would measure the difference between the classes.

Shared by the kinds that do not forget by chance alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepunlearn.core.forget import Unseen
from deepunlearn.core.samples import Candidates, Indices, Labels, Samples, classes_of

Mask = npt.NDArray[np.bool_]

ENOUGH = 10  # unseen samples, one for each fold of the attack: with fewer of them others are taken, or none


def by_class(forgotten: Labels, labels: Labels, random: np.random.RandomState) -> Indices:
    """Sorted positions of the largest subset of `labels` [n] that has the classes of `forgotten` in its proportions.

    Exact to less than one sample of each class. Classes that `labels` lack are left out. Which samples of a class are
    taken is drawn.
    """
    classes = 1 + max(forgotten.max(initial=0), labels.max(initial=0))
    wanted, there = (np.bincount(one, minlength=classes) for one in (forgotten, labels))
    both = (wanted > 0) & (there > 0)
    if not both.any():
        return np.zeros(0, dtype=np.int64)
    scarcest = np.argmin(np.where(both, there / np.maximum(wanted, 1), np.inf))
    counts = np.where(both, wanted * there[scarcest] // wanted[scarcest], 0)
    order = random.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class after class, each at random
    ordered = labels[order]
    rank = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    return np.sort(order[rank < counts[ordered]])


def matched_by_class(candidates: Candidates, chosen: Mask, among: Samples, reason: str | None = None) -> Unseen:
    """`by_class` of the forgotten samples; reason: why no closer match was possible, for the caption."""
    forgotten = candidates.labels[chosen]
    remarks = [f"matched by class: {reason}"] if reason else []
    if absent := classes_of(forgotten) - classes_of(among.labels):
        remarks.append(f"it has no sample of {named(sorted(absent), among.class_names)}")
    return Unseen(by_class(forgotten, among.labels, candidates.random), "; ".join(remarks) or None)


def matched_by_rule(candidates: Candidates, chosen: Mask, among: Samples, matching: Mask | None, rule: str) -> Unseen:
    """The samples that the rule picks too; by class where those are too few for the attack.

    matching [n]: whether the rule picks each of `among`; None: they lack what it asks for. rule: in words.
    """
    if matching is None:
        return matched_by_class(candidates, chosen, among, f"it lacks what {rule} asks for")
    positions = np.flatnonzero(matching)
    if len(positions) >= ENOUGH:
        return Unseen(positions)
    how_many = f"{len(positions) or 'no'} sample{'s'[: len(positions) > 1]}"
    return matched_by_class(candidates, chosen, among, f"it has {how_many} of {rule}")


def taken_whole(candidates: Candidates, chosen: Mask, val: Mask) -> list[int]:
    """Classes of which a rule picks every sample: all candidates and, as `val` [n] says, all of the validation part."""
    spared = classes_of(candidates.labels[~chosen]) | classes_of(candidates.val.labels[~val])
    return sorted(classes_of(candidates.labels) - spared)


def named(labels: list[int], class_names: tuple[str, ...]) -> str:
    """Classes as captions name them: "class cat", "classes cat, dog", "5 classes"."""
    names = [class_names[label] if label < len(class_names) else str(label) for label in labels]
    if len(names) > MOST_NAMED:
        return f"{len(names)} classes"
    return f"class{'es' if len(names) > 1 else ''} {', '.join(names)}"


MOST_NAMED = 3  # in a caption
