"""AUS, the Adaptive Unlearning Score of Cotogni et al. 2023 (DUCK, arXiv 2312.02052), and ERASURE's form of it."""

from __future__ import annotations

from deepunlearn.metrics.added import Outputs
from deepunlearn.metrics.counted import Counted
from deepunlearn.metrics.scores import accuracies


def measure(outputs: Outputs) -> dict[str, float | None]:
    """(1 - (TA of the original - TA)) / (1 + how far D_F is from where it should be).

    That is |TA - FA| where the forgotten should be like unseen samples ("homogeneous removal"), and FA where a whole
    class should no longer be recognised ("class removal"); TA is then of the classes that are left. ERASURE takes the
    first, and TA of all classes, whatever is forgotten.
    """
    counted = Counted(outputs.forgotten_classes)
    own = accuracies(outputs.logits, outputs.labels, counted)
    original = accuracies(outputs.original, outputs.labels, counted)
    kept = "TA_retained" if counted.forgotten_classes else "TA"
    apart = own["FA"] if counted.forgotten_classes else _apart(own["TA"], own["FA"])
    everywhere = _score(own["TA"], original["TA"], _apart(own["TA"], own["FA"]))
    return {"AUS": _score(own[kept], original[kept], apart), "AUS_ERASURE": everywhere}


def _score(own: float | None, original: float | None, apart: float | None) -> float | None:
    if own is None or original is None or apart is None:
        return None
    return (1 - (original - own)) / (1 + apart)


def _apart(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else abs(one - other)
