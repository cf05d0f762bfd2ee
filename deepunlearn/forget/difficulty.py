"""The samples that are hardest or easiest to learn are forgotten, or those in between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import field_validator, model_validator

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import ForgetSet, Unseen
from deepunlearn.core.samples import Candidates, Data, Indices, Samples
from deepunlearn.core.split import Pending, Splits
from deepunlearn.core.validation import Ratio, Unfit
from deepunlearn.forget.bank import digest_of, entries, memorised, scores_of
from deepunlearn.forget.list import Listed, located, read
from deepunlearn.forget.matching import matched_by_class

Scores = npt.NDArray[np.float64]

SCORE = "score"  # the column of the file
SHOWN = 10  # samples that an error lists


class DifficultyForget(ForgetSet):
    """By the confidence of the original of seed 0 in each sample over its training, or by scores in a file.

    confidence: the mean probability of the label at the end of each epoch (Swayamdipta et al. 2020); a low one is hard.
    memorisation: how much more often models get the sample right that were trained on it (Feldman and Zhang 2020; Zhao
    et al. 2024), from the originals of U-LiRA's design in the results folder `bank`; a high one is hard. file: a CSV
    file with a column `score`, high for hard ones, beside `file` or `id` as in forget=list. Equal ones are taken at
    random.
    """

    enlarge: ClassVar[str] = "raise forget.ratio"
    reduce: ClassVar[str] = "lower forget.ratio"

    by: Literal["confidence", "memorisation", "file"]
    file: str | None = None
    bank: str | None = None
    end: Literal["hardest", "easiest", "middle"]
    ratio: Ratio

    @property
    def title(self) -> str:
        return f"{self.end} {100 * self.ratio:.6g} %" + {
            "file": " by given scores",
            "memorisation": " by memorisation",
        }.get(self.by, "")

    @property
    def by_confidence(self) -> bool:
        return self.by == "confidence"

    def check(self) -> None:
        """That the scores can be read, before any data are."""
        if self.file is not None:
            _numbers(self.file, read(Path(self.file), SCORE))
        if self.bank is not None:
            entries(self.bank)

    def split(self, candidates: Candidates, val: Indices, test: Indices) -> Splits:
        if self.by_confidence and candidates.confidence is None:
            size = self._size(candidates)
            return Pending({"retain": len(candidates.rows) - size, "forget": size, "val": len(val), "test": len(test)})
        return super().split(candidates, val, test)

    def _size(self, candidates: Candidates) -> int:
        return round(self.ratio * len(candidates.rows))

    def choose(self, candidates: Candidates) -> Indices:
        order = np.argsort(-self._difficulty(candidates), kind="stable")  # among equals the random order stays
        size, there = self._size(candidates), len(order)
        first = {"hardest": 0, "easiest": there - size, "middle": (there - size) // 2}[self.end]
        return order[first : first + size]

    def _difficulty(self, candidates: Candidates) -> Scores:
        """[n], higher is harder. Raises ConfigError where the file lacks some of the candidates."""
        if self.by_confidence:
            assert candidates.confidence is not None, "without it the split is pending"
            return -candidates.confidence
        scores = self._scores(candidates.data)[candidates.rows]
        if np.isnan(scores).any():
            raise _without_score(self, candidates, np.isnan(scores))
        return scores

    def _scores(self, data: Data) -> Scores:
        """Of the whole training part, NaN where the file, or the bank, has none."""
        if self.bank is not None:
            return scores_of(self.bank, data)
        assert self.file is not None
        scores = np.full(len(data.train_labels), np.nan)
        listed = read(Path(self.file), SCORE)
        scores[located(self.file, listed, data)] = _numbers(self.file, listed)
        return scores

    def remarks(self, candidates: Candidates) -> Sequence[str]:
        return [] if self.bank is None else [memorised(self.bank, candidates.data).told]

    def unseen(self, candidates: Candidates, chosen: npt.NDArray[np.bool_], among: Samples) -> Unseen:
        return matched_by_class(candidates, chosen, among, "how hard its samples are is not known")

    def identity(self, data: Data) -> dict[str, Any]:
        """What the file or the bank says, in place of its name."""
        values = self.model_dump(mode="json", exclude={"name", "module", "code", "file", "bank"})
        if self.file is None and self.bank is None:
            return values
        return {**values, "scores": digest_of(self._scores(data))}

    @field_validator("file", "bank")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        """Jobs may start elsewhere."""
        return None if path is None else str(Path(path).expanduser().absolute())

    @model_validator(mode="after")
    def _file_where_it_is_read(self) -> DifficultyForget:
        for by, name, given in (("file", "file", self.file), ("memorisation", "bank", self.bank)):
            if (self.by == by) != (given is not None):
                raise Unfit(
                    f"forget.by and forget.{name} do not go together",
                    given=f"forget.by={self.by} forget.{name}={given or 'null'}",
                    allowed=f"forget.by={by} with forget.{name}={name.upper()}, or forget.by=confidence without",
                    remedy="give both, or leave both out",
                )
        return self


def _numbers(file: str, listed: Listed) -> Scores:
    """The scores of a file. Raises ConfigError for what is no finite number."""
    wrong = [f"{entry}: {text}" for entry, text in zip(listed.entries, listed.values, strict=True) if not _finite(text)]
    if wrong:
        raise ConfigError(
            f"{len(wrong):,} scores of forget.file are no numbers",
            given=f"{file}: {', '.join(wrong[:SHOWN])}",
            allowed="finite numbers, high for hard samples",
            remedy=f"correct the column {SCORE}",
        )
    return np.array(listed.values, dtype=np.float64)


def _finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _without_score(forget: DifficultyForget, candidates: Candidates, missing: npt.NDArray[np.bool_]) -> ConfigError:
    name = "file" if forget.by == "file" else "bank"
    names = candidates.rows if candidates.names is None else candidates.names
    remedy = "add their scores, or choose others with dataset.limit"
    if name == "bank":
        remedy = "give dataset.limit, dataset.val_ratio and dataset.split_seed as the bank had them"
    return ConfigError(
        f"{missing.sum():,} samples that are trained on have no score in forget.{name}",
        given=f"{getattr(forget, name)}: none for {', '.join(map(str, np.sort(names[missing])[:SHOWN]))}",
        allowed="a score for each training sample",
        remedy=remedy,
    )
