"""Retention of accuracy relative to the retrained model (Deep Unlearn, section 2, equations 2 and 3)."""

from __future__ import annotations

from collections.abc import Sequence

NO_RETRAINED = "RetDev undefined: no retrained model, as it is not known how the given original was trained"


def retention(acc_u: float, acc_r: float) -> float | None:
    """RR, FR or TR: accuracy of the unlearned model / accuracy of the retrained one on the same part; >= 0, ideal 1.

    None where the retrained model gets nothing right (e.g. a whole class forgotten): the ratio is not defined then,
    and neither is RetDev. `undefined` says which parts these are.
    """
    assert 0 <= acc_u <= 1 and 0 <= acc_r <= 1, (acc_u, acc_r)
    return None if acc_r == 0 else acc_u / acc_r


def ret_dev(rr: float | None, fr: float | None, tr: float | None) -> float | None:
    """RetDev = |RR - 1| + |FR - 1| + |TR - 1|, best 0; None where one of the three is not defined."""
    if rr is None or fr is None or tr is None:
        return None
    return abs(rr - 1) + abs(fr - 1) + abs(tr - 1)


def undefined(
    rr: float | None, fr: float | None, tr: float | None, *, forgotten_classes: Sequence[int] = ()
) -> str | None:
    """The reason to put in a row without RetDev, naming the parts; None where RetDev is defined.

    forgotten_classes: those that the forget set took whole. The retrained model does not know them, and what it gets
    right there by chance is no measure: FR has no meaning, whatever its accuracy.
    """
    if forgotten_classes:
        classes = "class" if len(forgotten_classes) == 1 else "classes"
        numbers = ", ".join(map(str, forgotten_classes))
        return f"RetDev undefined: {classes} {numbers} forgotten whole, which the retrained model does not know"
    parts = {"retain": rr, "forget": fr, "test": tr}
    names = [name for name, value in parts.items() if value is None]
    return f"RetDev undefined: the retrained model's accuracy is 0 on {', '.join(names)}" if names else None
