"""How far the weights of each block went: from the original, and to the retrained model."""

from __future__ import annotations

from deepunlearn.instruments.similarity import GROUPS, check_alike, groups, relative_distance
from deepunlearn.metrics.added import Outputs


def measure(outputs: Outputs) -> dict[str, float | None]:
    """L2 distances / the L2 norm of the other model's weights: of up to four groups of blocks, and of the head."""
    models = outputs.models
    own = models.unlearned()
    values: dict[str, float | None] = {}
    for name, other in (("moved", models.original()), ("apart", models.retrained())):
        check_alike(own, other)
        anatomies = models.anatomy(own), models.anatomy(other)
        blocks = [relative_distance(*pair) for pair in zip(*map(groups, anatomies), strict=True)]
        padded = [*blocks, *[None] * (GROUPS - len(blocks))]
        values |= {f"{name}_block_{place}": value for place, value in enumerate(padded, start=1)}
        values[f"{name}_head"] = relative_distance(*[[anatomy.head] for anatomy in anatomies])
    return values
