"""Which unlearned models were made with other batches than they would be now. Imports no torch: planning asks.

The table is history: what the methods passed over in training while the FIRST rule of core/batches.py held. A method
that has come since needs no entry, as nothing of it was made under that rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from deepunlearn.core.batches import differ
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.core.params import Value

RETAIN, FORGET, VAL, TOGETHER = "retain", "forget", "val", "together"  # together: retain and forget set, mixed
FRACTION = "retain_fraction"  # of the retain set that is mixed with the forget set

Passes = dict[str, tuple[str, ...]]  # the hyper-parameter with a batch size -> what is passed over in batches of it
_RETAIN: Passes = {"batch_size": (RETAIN,)}
_BOTH: Passes = {"batch_size": (RETAIN, FORGET)}
_TOGETHER: Passes = {"batch_size": (TOGETHER,)}
PASSES: dict[str, Passes] = {
    **dict.fromkeys(("cfk", "cfw", "ct", "euk", "ft", "msg", "prmq", "rni"), _RETAIN),
    **dict.fromkeys(("fcs", "ngplus"), _BOTH),
    **dict.fromkeys(("bt", "labelflip", "salun", "srl"), _TOGETHER),
    "ff": {},
    "ga": {"batch_size": (FORGET,)},
    "iu": {},
    "kde": {"batch_size": (VAL, RETAIN)},
    "scrub": {"retain_batch_size": (RETAIN,), "forget_batch_size": (FORGET,)},
}


def runs_differ(method: MethodConfig, sizes: Mapping[str, int], values: Mapping[str, Sequence[Value] | None]) -> bool:
    """Whether a run with any of these values had other batches under the FIRST rule.

    sizes: samples of retain, forget and val; values: of each hyper-parameter those it may have, None where they cannot
    be listed. What cannot be known counts as different, e.g. of a method that is not ours.
    """
    if method.meta == "rum":
        return True  # there were none under the FIRST rule
    steps = [(name, f"{index}.") for index, name in enumerate(method.steps)] or [(method.name, "")]
    return any(name in method.modules or _step_differs(name, prefix, sizes, values) for name, prefix in steps)


def _step_differs(
    name: str, prefix: str, sizes: Mapping[str, int], values: Mapping[str, Sequence[Value] | None]
) -> bool:
    fractions = values.get(prefix + FRACTION, (1.0,))
    for parameter, parts in PASSES.get(name, {}).items():
        batch_sizes = values[prefix + parameter]
        if batch_sizes is None or fractions is None:
            return True
        passes = {samples for part in parts for samples in _samples(part, sizes, fractions)}
        if any(differ(samples, int(size)) for samples in passes for size in batch_sizes):
            return True
    return False


def _samples(part: str, sizes: Mapping[str, int], fractions: Sequence[Value]) -> Iterator[int]:
    """How many samples `part` has, for each fraction."""
    if part != TOGETHER:
        yield sizes[part]
        return
    for fraction in fractions:
        yield max(1, round(float(fraction) * sizes[RETAIN])) + sizes[FORGET]
