"""All scores of one model against the retrained one of its seed: the metric columns of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from deepunlearn.metrics.accuracy import Floats, Integers, accuracy, losses
from deepunlearn.metrics.corrected import CORRECTED
from deepunlearn.metrics.counted import EVERYTHING, Counted, too_few
from deepunlearn.metrics.gaps import PARTS, gap, tug_of_war
from deepunlearn.metrics.mia import discernibility, indiscernibility, loss_auc, mia_accuracy, understated
from deepunlearn.metrics.retention import ret_dev, retention, undefined
from deepunlearn.metrics.usable import broken_parts, usable

ACCURACIES = {"RA": "retain", "FA": "forget", "VA": "val", "TA": "test"}
BY_CLASS = ("VA_retained", "VA_forgotten", "TA_retained", "TA_forgotten")  # where classes are forgotten whole
RELATIVE = ("RR", "FR", "TR", "RetDev", "gap", "ToW")  # need the retrained model
AGAINST_TEST = ("MIA", "Disc", "Indisc", "MIA_AUC", "Disc_AUC", "MIA_understated")
SEARCH_PARTS = ("retain", "forget", "val")  # the parts that a search may look at
AGAINST_VAL = ("MIA_val", "Disc_val", "MIA_AUC_val")
SCORES = (*ACCURACIES, *BY_CLASS, *RELATIVE, *AGAINST_TEST, *AGAINST_VAL, *CORRECTED)


def score(
    logits: Mapping[str, Floats],
    retrained: Mapping[str, Floats] | None,
    labels: Mapping[str, Integers],
    seed: int,
    *,
    weights_finite: bool = True,
    counted: Counted = EVERYTHING,
) -> dict[str, Any]:
    """`SCORES` (protocol section 5), `usable` and `reason`. The mappings have the parts retain, forget, val and test.

    logits and retrained are [N, K] per part, labels [N]; `seed` shuffles the attack's samples. Without `retrained` or
    without a val part, what needs it is None, as are `CORRECTED` here, which need true labels; a part `unseen_test`,
    where given, is the attack's other side. Logits that are not finite make every score None and the model unusable;
    broken logits of the retrained model raise Diverged.
    """
    good, reason = usable(weights_finite, logits, labels["test"], counted)
    if broken_parts(logits):
        return {**dict.fromkeys(SCORES), "usable": good, "reason": reason}
    own = accuracies(logits, labels, counted)
    relative, bare = dict.fromkeys(RELATIVE), None
    if retrained is not None:
        relative, bare = _relative(own, accuracies(retrained, labels, counted), counted)
    attack, unattacked = _attack_scores(logits, labels, seed, counted)
    reasons = [one for one in (reason, bare, unattacked) if one]
    return {**dict.fromkeys(SCORES), **own, **relative, **attack, "usable": good, "reason": "; ".join(reasons) or None}


def accuracies(
    logits: Mapping[str, Floats], labels: Mapping[str, Integers], counted: Counted = EVERYTHING
) -> dict[str, float | None]:
    """`ACCURACIES` and `BY_CLASS`, None where they have no samples."""
    own: dict[str, float | None] = dict.fromkeys((*ACCURACIES, *BY_CLASS))
    for name, part in ACCURACIES.items():
        if part not in logits:
            continue
        own[name] = accuracy(logits[part], labels[part])
        if f"{name}_retained" in own and counted.forgotten_classes:
            kept = counted.retained(labels[part])
            for kind, mask in (("retained", kept), ("forgotten", ~kept)):
                own[f"{name}_{kind}"] = accuracy(logits[part][mask], labels[part][mask]) if mask.any() else None
    return own


def searched_accuracies(
    logits: Mapping[str, Floats], labels: Mapping[str, Integers], counted: Counted
) -> dict[str, float]:
    """By part what a search looks at: accuracy on retain, forget and val, on val of classes not forgotten whole."""
    kept = {part: counted.retained(labels[part]) if part == "val" else slice(None) for part in SEARCH_PARTS}
    return {part: accuracy(logits[part][rows], labels[part][rows]) for part, rows in kept.items()}


def completed(stored: Mapping[str, Any], retrained: Callable[[], Mapping[str, float | None]]) -> dict[str, Any]:
    """Stored scores with what earlier programs did not store: `Disc_AUC`, which follows from `MIA_AUC`, gap and ToW.

    retrained: gives the `accuracies` of the retrained model; asked only where needed. No class was forgotten whole.
    """
    auc, bare = stored.get("MIA_AUC"), stored.get("RA") is None
    gaps = dict.fromkeys(("gap", "ToW")) if bare or "gap" in stored else _gaps(stored, retrained())
    disc = None if auc is None else discernibility(auc)
    return {**dict.fromkeys((*BY_CLASS, *CORRECTED)), "Disc_AUC": disc, **gaps, **stored}


def _relative(
    own: Mapping[str, float | None], retrained: Mapping[str, float | None], counted: Counted
) -> tuple[dict[str, Any], str | None]:
    """`RELATIVE`, and why RetDev is not defined. Of classes that are forgotten whole, FR has no meaning and is None."""
    sides = [(own[name], retrained[name]) for name in _compared(counted)]
    kept = [None if one is None or other is None else retention(one, other) for one, other in sides]
    if counted.forgotten_classes:
        kept[1] = None
    values = {**dict(zip(("RR", "FR", "TR"), kept, strict=True)), "RetDev": ret_dev(*kept)}
    return {**values, **_gaps(own, retrained, counted)}, undefined(*kept, forgotten_classes=counted.forgotten_classes)


def _compared(counted: Counted) -> tuple[str, ...]:
    """The accuracies that are held against the retrained model's: of the test part those on classes that it knows."""
    return ("RA", "FA", "TA_retained") if counted.forgotten_classes else PARTS


def _gaps(
    own: Mapping[str, float | None], retrained: Mapping[str, float | None], counted: Counted = EVERYTHING
) -> dict[str, float | None]:
    """gap and ToW of accuracies by name."""
    sides = [[one[name] for name in _compared(counted)] for one in (own, retrained)]
    if any(value is None for side in sides for value in side):
        return {"gap": None, "ToW": None}
    values = [np.array(side, dtype=float) for side in sides]
    return {"gap": float(gap(*values)), "ToW": float(tug_of_war(*values))}


def _attack_scores(
    logits: Mapping[str, Floats], labels: Mapping[str, Integers], seed: int, counted: Counted
) -> tuple[dict[str, Any], str | None]:
    """`AGAINST_TEST` and `AGAINST_VAL`, and why the former are None; equal for equal logits and seeds."""
    forget, test = losses(logits["forget"], labels["forget"]), counted.unseen_losses("test", logits, labels)
    scores: dict[str, Any] = dict.fromkeys((*AGAINST_TEST, *AGAINST_VAL))
    why = too_few(len(forget), len(test), "test")
    if why is None:
        mia, auc = mia_accuracy(forget, test, seed), loss_auc(forget, test)
        scores |= {"MIA": mia, "Disc": discernibility(mia), "Indisc": indiscernibility(mia)}
        scores |= {"MIA_AUC": auc, "Disc_AUC": discernibility(auc)}
        scores |= {"MIA_understated": understated(forget, test, seed)}
    val = counted.unseen_losses("val", logits, labels)
    if too_few(len(forget), len(val), "val") is None:
        mia = mia_accuracy(forget, val, seed)
        scores |= {"MIA_val": mia, "Disc_val": discernibility(mia), "MIA_AUC_val": loss_auc(forget, val)}
    return scores, why
