"""Which training sample is in which shard and slice of an ensemble (Bourtoule et al. 2021). No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepunlearn.core.errors import ConfigError

FEWEST = 2  # samples of a slice: a single one teaches a network with batch statistics nothing


@dataclass(frozen=True, eq=False)
class Placement:
    """shard, slice: of each sample of the training part, int64 [N], numbered from 0."""

    shards: int
    slices: int
    shard: npt.NDArray[np.int64]
    slice: npt.NDArray[np.int64]

    def members(self, shard: int, piece: int, gone: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Positions of the samples that slice `piece` of a shard is trained on: those of its slices so far.

        gone: bool [N], of samples that are deleted.
        """
        return np.flatnonzero((self.shard == shard) & (self.slice <= piece) & ~gone)

    def touched(self, gone: npt.NDArray[np.bool_], asked: npt.NDArray[np.bool_] | None = None) -> dict[int, int]:
        """Each shard that holds a sample that is deleted -> the first of its slices with one.

        asked: bool [N], which of them are asked for now, where others went before: of shards without one nothing is to
        be done, and of the others the states before slices that lost samples earlier are out of date.
        """
        shards = np.unique(self.shard[gone if asked is None else asked])
        return {int(shard): int(self.slice[gone & (self.shard == shard)].min()) for shard in shards}

    def passes(self, first: dict[int, int], gone: npt.NDArray[np.bool_]) -> int:
        """How many samples one epoch of each slice goes through in these shards, from these slices on."""
        pieces = ((shard, piece) for shard, start in first.items() for piece in range(start, self.slices))
        return sum(len(self.members(*one, gone)) for one in pieces)


def epochs_of_slices(epochs: int, slices: int) -> int:
    """Epochs on each slice and those before it: 2 E / (R + 1), so that all cost what E epochs without slices do.

    Rounded, and one at least (Bourtoule et al. 2021, section VII-A).
    """
    return max(1, round(2 * epochs / (slices + 1)))


def placed(samples: int, shards: int, slices: int, seed: int, likely: npt.NDArray[np.bool_] | None = None) -> Placement:
    """Shards of equal size, cut into slices of equal size, at random.

    likely: bool [N], of samples that are likelier to be deleted than others: they are together in the last shards, and
    there in the last slices, so that little is retrained (section VII of the paper, which also varies the sizes).
    Raises ConfigError where a slice would have fewer than 2 samples.
    """
    if samples < FEWEST * shards * slices:
        raise ConfigError(
            "there are too few training samples for so many shards and slices",
            given=f"{shards} shards of {slices} slices, {samples} samples",
            allowed=f"at least {FEWEST} samples of a slice",
            remedy="lower method.sisa.params.shards= or method.sisa.params.slices=, or use more data",
        )
    order = np.random.RandomState(seed).permutation(samples)
    if likely is not None:
        order = order[np.argsort(likely[order], kind="stable")]
    shard, piece = np.zeros((2, samples), dtype=np.int64)
    for number, own in enumerate(np.array_split(order, shards)):
        shard[own] = number
        for position, part in enumerate(np.array_split(own, slices)):
            piece[part] = position
    return Placement(shards, slices, shard, piece)
