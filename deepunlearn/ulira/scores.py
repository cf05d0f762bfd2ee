"""U-LiRA's score of every observation: how much likelier its confidence is under one class than under the other.

Carlini et al. 2022, "Membership inference attacks from first principles" (LiRA, algorithm 1); Hayes et al. 2024,
arXiv 2403.01218 (U-LiRA: the same between models that unlearned a sample and models that never saw it).

A group is the models that one fit leaves out together, since one tells something of the other: in the experiment those
of a halving of the pool and of its complement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from deepunlearn.metrics.accuracy import Floats, Integers, log_sum_exp
from deepunlearn.metrics.blocks import in_blocks

Wide = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Variance = Literal["sample", "pooled"]

VARIANCE_FLOOR = 1e-4
"""Of phi, in nats squared: a spread of 0.01, which moves p by at most 0.0025, is as good as none. It is ten times the
step of float32 at a phi of 1e4, so that saturated models are not told apart by their rounding.
"""

FEWEST: dict[Variance, int] = {"sample": 4, "pooled": 2}
"""Least number of other groups with an observation, per class, sample and attacked group. Groups are counted, not
models: the models of a halving share an original. A variance from 4 values is uncertain by 80 % (sqrt(2 / 3)), from 2
it is of no use; where the variance is shared, only a mean has to come from them.
"""

_ELEMENTS = 2**20  # of a (models, samples) block: 8 MiB per array, a dozen of them alive


@dataclass(frozen=True)
class Scores:
    """What the attack says of every observation (model, sample)."""

    log_odds: npt.NDArray[np.float32]  # [M, n] log p(positive | phi) / p(negative | phi), equal priors; 0 if not scored
    scored: Bools  # [M, n] the observation is of one of the two classes and there was enough to fit
    left_out: int  # pairs (sample, group) with an observation to attack and too few others to fit


def scaled_confidence(logits: Floats, labels: Integers) -> Wide:
    """phi = log(p_y / (1 - p_y)) of each sample in nats, float64 [n]; logits [n, K >= 2], labels [n] in [0, K).

    Carlini et al. 2022's logit scaling. From the logits (z_y - logsumexp of the others), never from p: as finite as
    they are. Raises ValueError for non-finite logits.
    """
    assert logits.ndim == 2 and logits.shape[1] > 1 and labels.shape == logits.shape[:1], (logits.shape, labels.shape)
    assert labels.size == 0 or (labels.min() >= 0 and labels.max() < logits.shape[1]), (labels.min(), labels.max())
    _require_finite(logits, "logits")
    return _margins(logits, labels)


@in_blocks
def _margins(logits: Floats, labels: Integers) -> Wide:
    others = logits.astype(np.float64)
    own = np.take_along_axis(others, labels[:, None], axis=1)[:, 0]
    np.put_along_axis(others, labels[:, None], -np.inf, axis=1)
    result: Wide = own - log_sum_exp(others)
    return result


def log_odds(
    phi: Floats,
    group: Integers,
    positive: Bools,
    negative: Bools,
    *,
    variance: Variance = "sample",
    groups_used: int | None = None,
) -> Scores:
    """Score every observation of either class with Gaussians fitted to the models of all other groups.

    phi [M, n] is `scaled_confidence` of model m on sample x, group [M] names each model's, positive and negative
    [M, n] are the observations of the two classes, disjoint; the rest plays no part. Per sample and attacked group a
    mean and a variance (ddof 1: the classes differ in size by 10 and must not differ in bias, floored) per class.

    variance "pooled" takes one variance per class and attacked group from all samples, each about its own mean
    (Carlini et al. 2022: better than one per sample where shadow models are few). RMIA (Zarifzadeh et al. 2024, arXiv
    2312.03262) serves the same end, but compares with other samples' likelihood ratios, so phi alone would not do.
    groups_used: fit to the first so many of the other groups, in ascending order of their names; None is all.
    Raises ValueError for phi that is not finite, or fewer than 2 groups, or groups_used beyond the other groups.
    """
    assert phi.shape == positive.shape == negative.shape and group.shape == phi.shape[:1], (phi.shape, group.shape)
    _require_finite(phi, "phi")
    fit = _Fit.of(group, groups_used)
    roles = (positive, negative)
    shared = [_pooled(fit, phi, role) for role in roles] if variance == "pooled" else None
    result, scored, left_out = np.zeros(phi.shape, np.float32), np.zeros(phi.shape, bool), 0
    for block in _blocks(phi):
        values, masks = _centred(phi[:, block]), [role[:, block] for role in roles]
        assert not (masks[0] & masks[1]).any(), "an observation is in both classes"
        moments = [fit.moments(values, mask) for mask in masks]
        enough = np.min([one.groups for one in moments], axis=0) >= FEWEST[variance]
        attacked = masks[0] | masks[1]
        scored[:, block] = attacked & enough[fit.index]
        left_out += int(np.count_nonzero(fit.present(attacked) & ~enough))
        variances = shared or [one.squares / np.maximum(one.count - 1, 1) for one in moments]
        densities = [
            _twice_log_density(values, fit.index, one.mean, v) for one, v in zip(moments, variances, strict=True)
        ]
        result[:, block] = np.where(scored[:, block], (densities[0] - densities[1]) / 2, 0)
    return Scores(result, scored, left_out)


@dataclass(frozen=True)
class _Moments:
    """Of one class, for each attacked group and sample: what the other groups' models say. All [H, b]."""

    groups: Wide  # other groups with an observation
    count: Wide  # observations in them
    mean: Wide  # 0 without any
    squares: Wide  # sum of squared deviations from the mean


@dataclass(frozen=True)
class _Fit:
    """Which models the fit for each group may see."""

    index: npt.NDArray[np.intp]  # [M] number of each model's group
    members: Any  # sparse [H, M]: 1 where the model is of the group
    others: Wide  # [H, H]: 1 where the fit for the row's group sees the column's. A zero keeps a group out exactly.

    @staticmethod
    def of(group: Integers, groups_used: int | None) -> _Fit:
        names, index = np.unique(group, return_inverse=True)
        size = len(names)
        used = size - 1 if groups_used is None else groups_used
        if not 1 <= used < size:
            raise ValueError(f"a fit to {used} other groups needs at least {max(used, 1) + 1} groups, got {size}")
        others = np.zeros((size, size))
        for row in range(size):
            others[row, np.delete(np.arange(size), row)[:used]] = 1
        members = csr_array((np.ones(len(index)), (index, np.arange(len(index)))), shape=(size, len(index)))
        return _Fit(index, members, others)

    def present(self, mask: Bools) -> Bools:
        """[H, b] whether a group has an observation of the mask [M, b]."""
        result: Bools = self.members @ mask.astype(np.float64) > 0
        return result

    def moments(self, values: Wide, mask: Bools) -> _Moments:
        """Of the values [M, b] (`_centred`) under the mask [M, b]."""
        kept = np.where(mask, values, 0)
        own = self.members @ mask.astype(np.float64)
        count, total, squares = (self.others @ part for part in (own, self.members @ kept, self.members @ kept**2))
        mean = total / np.maximum(count, 1)
        return _Moments(self.others @ (own > 0), count, mean, squares - mean * total)


def _pooled(fit: _Fit, phi: Floats, role: Bools) -> Wide:
    """[H, 1] variance about each sample's own mean, from the samples with enough groups; 0 where there is none."""
    squares = freedom = np.zeros(len(fit.others))
    for block in _blocks(phi):
        one = fit.moments(_centred(phi[:, block]), role[:, block])
        enough = one.groups >= FEWEST["pooled"]
        squares = squares + np.sum(one.squares, axis=1, where=enough)
        freedom = freedom + np.sum(one.count - 1, axis=1, where=enough)
    result: Wide = (squares / np.maximum(freedom, 1))[:, None]
    return result


def _twice_log_density(values: Wide, index: npt.NDArray[np.intp], mean: Wide, variance: Wide) -> Wide:
    """Of a Gaussian per group, less the constant that both classes share; values [M, b], mean [H, b]."""
    floored = np.maximum(variance, VARIANCE_FLOOR)
    result: Wide = -((values - mean[index]) ** 2) / floored[index] - np.log(floored)[index]
    return result


def _centred(block: Floats) -> Wide:
    """Relative to the sample's value under the first model: sums of squares far from zero would lose their digits."""
    wide: Wide = block.astype(np.float64)
    return wide - wide[:1]


def _blocks(phi: Floats) -> Iterator[slice]:
    width = max(1, _ELEMENTS // len(phi))
    return (slice(start, start + width) for start in range(0, phi.shape[1], width))


def _require_finite(values: Floats, name: str) -> None:
    step = max(1, _ELEMENTS // max(values.shape[1], 1))
    blocks = (values[start : start + step] for start in range(0, len(values), step))  # no mask of the size of phi
    bad = sum(int(np.count_nonzero(~np.isfinite(block).all(axis=1))) for block in blocks)
    if bad:
        raise ValueError(
            f"{name} must be finite, {bad} of {len(values)} rows are not; the caller must refuse the model"
        )
