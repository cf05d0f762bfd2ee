"""How alike what blocks put out is to the original's and to the retrained model's: linear CKA."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from deepunlearn.data.loader import Part
from deepunlearn.instruments.similarity import GROUPS, block_grams, check_alike, linear_cka
from deepunlearn.metrics.added import Models, Outputs

SAMPLES = 512  # of a part, evenly spaced in it, as one number per pair of samples is kept and all that blocks put out
PARTS = {"": "forget", "_test": "test"}


def measure(outputs: Outputs) -> dict[str, float | None]:
    """CKA of each of up to four groups of blocks on D_F and D_T, and its mean over them.

    Kornblith et al. 2019 (arXiv 1905.00414), linear kernel, the biased estimate that they use.
    """
    models = outputs.models
    networks = {"original": models.original(), "retrained": models.retrained()}
    unlearned = models.unlearned()
    check_alike(unlearned, networks["original"])
    values: dict[str, float | None] = {}
    for suffix, name in PARTS.items():
        part = _some(models.parts[name])
        own = _grams(unlearned, models, part)
        for role, network in networks.items():
            values |= _named(f"CKA_{role}{suffix}", own, _grams(network, models, part))
    return values


def _some(part: Part) -> Part:
    """Evenly spaced samples, so that all classes are there where they are sorted by class."""
    return part.subset(np.unique(np.linspace(0, len(part) - 1, min(len(part), SAMPLES)).round().astype(int)))


def _grams(network: nn.Module, models: Models, part: Part) -> list[Tensor]:
    return block_grams(network, models.anatomy(network), part, models.runtime)


def _named(column: str, own: list[Tensor], other: list[Tensor]) -> dict[str, float | None]:
    """By column. Rounding may bring a value past its limits by less than any digit that is shown."""
    alike = [linear_cka(*pair) for pair in zip(own, other, strict=True)]
    clipped = [None if one is None else min(max(one, 0.0), 1.0) for one in alike]
    known = [one for one in clipped if one is not None]
    mean = float(np.mean(known)) if len(known) == len(alike) else None
    padded = [*clipped, *[None] * (GROUPS - len(clipped))]
    return {column: mean, **{f"{column}_{place}": value for place, value in enumerate(padded, start=1)}}
