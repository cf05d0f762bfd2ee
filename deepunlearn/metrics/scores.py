"""All scores of one model against the retrained one of its seed: the metric columns of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deepunlearn.metrics.accuracy import Floats, Integers, accuracy, losses
from deepunlearn.metrics.gaps import PARTS, gap, tug_of_war
from deepunlearn.metrics.mia import discernibility, indiscernibility, loss_auc, mia_accuracy, understated
from deepunlearn.metrics.retention import ret_dev, retention, undefined
from deepunlearn.metrics.usable import broken_parts, usable

ACCURACIES = {"RA": "retain", "FA": "forget", "VA": "val", "TA": "test"}
ATTACKS = ("MIA", "Disc", "Indisc", "MIA_val", "Disc_val", "MIA_AUC", "Disc_AUC", "MIA_AUC_val", "MIA_understated")
SCORES = (*ACCURACIES, "RR", "FR", "TR", "RetDev", "gap", "ToW", *ATTACKS)


def score(
    logits: Mapping[str, Floats],
    retrained: Mapping[str, Floats],
    labels: Mapping[str, Integers],
    seed: int,
    weights_finite: bool = True,
) -> dict[str, Any]:
    """`SCORES` (protocol section 5), `usable` and `reason`. The mappings have the parts retain, forget, val and test.

    logits and retrained are [N, K] per part, labels [N]; `seed` shuffles the attack's samples. Logits that are not
    finite make every score None and the model unusable; broken logits of the retrained model raise Diverged.
    """
    good, reason = usable(weights_finite, logits, labels["test"])
    if broken_parts(logits):
        return {**dict.fromkeys(SCORES), "usable": good, "reason": reason}
    own = {name: accuracy(logits[part], labels[part]) for name, part in ACCURACIES.items()}
    reference = {name: accuracy(retrained[part], labels[part]) for name, part in ACCURACIES.items()}
    kept = [retention(own[name], reference[name]) for name in PARTS]
    return {
        **own,
        **dict(zip(("RR", "FR", "TR"), kept, strict=True)),
        "RetDev": ret_dev(*kept),
        **_gaps(own, reference),
        **_attack_scores(logits, labels, seed),
        "usable": good,
        "reason": reason or undefined(*kept),
    }


def completed(stored: Mapping[str, Any], retrained: Callable[[], Mapping[str, float]]) -> dict[str, Any]:
    """Stored scores with what earlier programs did not store: `Disc_AUC`, which follows from `MIA_AUC`, gap and ToW.

    retrained: gives the accuracies of the retrained model by the names of `ACCURACIES`; asked only where needed.
    """
    auc, bare = stored.get("MIA_AUC"), stored.get("RA") is None
    gaps = dict.fromkeys(("gap", "ToW")) if bare or "gap" in stored else _gaps(stored, retrained())
    return {"Disc_AUC": None if auc is None else discernibility(auc), **gaps, **stored}


def _gaps(own: Mapping[str, float], retrained: Mapping[str, float]) -> dict[str, float]:
    """gap and ToW of accuracies by name."""
    sides = [own[name] for name in PARTS], [retrained[name] for name in PARTS]
    return {"gap": float(gap(*sides)), "ToW": float(tug_of_war(*sides))}


def _attack_scores(logits: Mapping[str, Floats], labels: Mapping[str, Integers], seed: int) -> dict[str, Any]:
    """`ATTACKS`; models with equal logits have equal ones for equal seeds."""
    forget, val, test = (losses(logits[part], labels[part]) for part in ("forget", "val", "test"))
    against_test, against_val = mia_accuracy(forget, test, seed), mia_accuracy(forget, val, seed)
    by_order = loss_auc(forget, test)
    return {
        "MIA": against_test,
        "Disc": discernibility(against_test),
        "Indisc": indiscernibility(against_test),
        "MIA_val": against_val,
        "Disc_val": discernibility(against_val),
        "MIA_AUC": by_order,
        "Disc_AUC": discernibility(by_order),
        "MIA_AUC_val": loss_auc(forget, val),
        "MIA_understated": understated(forget, test, seed),
    }
