"""U-LiRA's design (protocol section 8): random halvings into train and held-out, forget sets of each train half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from deepunlearn.core.forget import ForgetSet, Role
from deepunlearn.core.samples import Candidates, Data, Indices
from deepunlearn.core.split import Split, Splits
from deepunlearn.core.validation import PositiveInt, Unfit

FEWEST_FORGOTTEN = 6  # models in which each sample is forgotten: with fewer the per-sample attack says nothing


@dataclass(frozen=True, eq=False)
class Halves(Splits):
    """The splits of a design: sorted indices, `pool` and `val` into the training part, `test` into the test part.

    part: int8 [halvings, pool]: in which forget set of its halving a sample is, -1 where it is held out.
    """

    pool: Indices
    val: Indices
    test: Indices
    part: npt.NDArray[np.int8]

    @cached_property
    def parts(self) -> int:
        """Forget sets per halving."""
        return int(self.part.max()) + 1

    @property
    def seeds(self) -> Sequence[int]:
        return range(len(self.part) * self.parts)

    def of(self, seed: int) -> Split:
        halving, part = divmod(seed, self.parts)
        own = self.part[halving]
        return Split(self.pool[(own >= 0) & (own != part)], self.pool[own == part], self.val, self.test)

    def sizes(self, seed: int) -> dict[str, int]:
        halving, part = divmod(seed, self.parts)
        forget, train = (int(counts) for counts in (self._counts[halving, part], self._counts[halving].sum()))
        return {"retain": train - forget, "forget": forget, "val": len(self.val), "test": len(self.test)}

    @cached_property
    def _counts(self) -> npt.NDArray[np.int64]:
        """Samples of each forget set of each halving; planning asks for all models, so nothing is cut for it."""
        return np.stack([(self.part == number).sum(1) for number in range(self.parts)], axis=1)


class HalvesForget(ForgetSet):
    """The design's values. Its models are numbered halving x parts + part; the numbers stand where others have seeds.

    Halvings come in pairs, each the other's complement, so that every sample is trained on in exactly half of them;
    each train half is cut into `parts` disjoint forget sets of equal size (up to one sample).
    """

    enlarge: ClassVar[str] = "lower forget.parts"
    reduce: ClassVar[str] = "raise forget.parts"
    least: ClassVar[int] = 10  # samples that the attack has a say on
    scored: ClassVar[bool] = False
    computed_by: ClassVar[str] = "deepunlearn.ulira.shadow_models:ShadowExperiment"
    command: ClassVar[str] = "lira"
    undivided: ClassVar[str] = "each of its models forgets one part of its own half, and all are attacked together"

    halvings: PositiveInt
    parts: Annotated[int, Field(ge=2)]  # forget sets per halving

    @property
    def shares_original(self) -> bool:
        return False  # each halving has one, trained on that half

    @property
    def models(self) -> int:
        return self.halvings * self.parts

    def halving_and_part(self, model: int) -> tuple[int, int]:
        """(halving, part) of a model."""
        return divmod(model, self.parts)

    @property
    def title(self) -> str:
        return f"halves, {self.halvings} x {self.parts} forget sets"

    def split(self, candidates: Candidates, val: Indices, test: Indices) -> Halves:
        part = draw_halvings(len(candidates.rows), self.halvings, self.parts, candidates.random)
        return Halves(np.sort(candidates.rows), val, test, part)

    def key_fields(self, data: Data) -> dict[str, Any]:
        """forget_ratio: share of the train half in each forget set."""
        return {
            "forget": self.name,
            "forget_ratio": 1 / self.parts,
            "halvings": self.halvings,
            "parts": self.parts,
        }

    def seeds(self, given: Sequence[int]) -> Sequence[int]:
        return range(self.models)

    def search_seed(self, number: int) -> int:
        """The first model of as many halvings."""
        if number >= self.halvings:
            raise Unfit(
                "there are more search seeds than halvings",
                given=f"a search on halving {number}",
                allowed=f"halvings 0 to {self.halvings - 1}: at most {self.halvings} searches",
                remedy="lower search.seeds, raise forget.halvings, or use protocol=paper",
            )
        return number * self.parts

    def reference_seed(self, role: Role, seed: int) -> int:
        """The models of a halving share its original."""
        return seed - seed % self.parts if role == "original" else seed

    def trained_on(self, role: Role, seed: int) -> tuple[dict[str, int], int]:
        halving, part = self.halving_and_part(seed)
        return ({"halving": halving}, halving) if role == "original" else ({"halving": halving, "part": part}, seed)

    @model_validator(mode="after")
    def _enough(self) -> HalvesForget:
        if self.halvings % 2 or self.halvings // 2 < FEWEST_FORGOTTEN:
            raise Unfit(
                "these halvings are too few, or cannot be paired",
                given=f"forget.halvings={self.halvings}",
                allowed=f"an even number, at least {2 * FEWEST_FORGOTTEN}: each sample is forgotten in half of "
                f"them, and fewer than {FEWEST_FORGOTTEN} observations say nothing",
                remedy=f"give forget.halvings={2 * FEWEST_FORGOTTEN} or more",
            )
        return self


def draw_halvings(size: int, halvings: int, parts: int, random: np.random.RandomState) -> npt.NDArray[np.int8]:
    """`Halves.part` of a pool of `size` samples."""
    part = np.full((halvings, size), -1, dtype=np.int8)
    for first in range(0, halvings, 2):
        for halving, half in enumerate(np.array_split(random.permutation(size), 2), start=first):
            for number, forget in enumerate(np.array_split(half, parts)):
                part[halving, forget] = number
    return part
