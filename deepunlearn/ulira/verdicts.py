"""What else the models of U-LiRA's design say of a method: KLoM, the competition's forgetting score, memorisation.

All of phi = log p / (1 - p), the margin, and of which samples a model gets right; no training beyond U-LiRA's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from deepunlearn.metrics import forgetting
from deepunlearn.metrics.accuracy import Floats, Integers
from deepunlearn.metrics.forgetting import epsilons, largest_epsilon, points
from deepunlearn.metrics.klom import FEWEST, Bins, binned, klom_of_bins
from deepunlearn.metrics.resampled import Level, Wide, levels
from deepunlearn.ulira.left_out import by_group, numbered
from deepunlearn.ulira.scores import Bools

VERSION = 1
SEED = 0  # of what chance gives: the same for all methods
FIELDS = ("value", "low", "high", "chance", "chance_low", "chance_high")
EARLIER = "models of earlier versions, which did not store whether they are right"


@dataclass(frozen=True)
class Bank:
    """Models of one method and the retrained ones beside them, M of each in the same order.

    phi, retrained [M, n]; pair [M]: of halvings; roles, by question ("forgotten", "retained") and "never", [M, n]:
    which samples each has forgotten, kept, never seen; right, retrained_right [M, n]: None where that is not stored.
    """

    phi: Floats
    retrained: Floats
    pair: Integers
    roles: Mapping[str, Bools]
    right: Bools | None
    retrained_right: Bools | None


def verdicts(bank: Bank) -> list[dict[str, Any]]:
    """A line for each: verdict, the samples that it is about, its value with interval and chance level, or a reason.

    models: of each side and for each sample; largest_epsilon: that so many can bear out.
    """
    sides = {question: [in_groups(one, bank.pair, role) for one in (bank.phi, bank.retrained)]
             for question, role in bank.roles.items()}  # fmt: skip
    return [
        *(line for question, pair in sides.items() for line in _klom(question, *pair)),
        *_forgetting(bank, *sides["forgotten"]),
    ]


def _klom(question: str, unlearned: Floats, retrained: Floats) -> list[dict[str, Any]]:
    """The mean over samples and the 95th percentile; of the latter no interval, which a jackknife cannot give."""
    groups, beside, _ = unlearned.shape
    common = {"samples": question, "models": groups * beside}
    names = "KLoM, mean", "KLoM, 95th percentile"
    if groups < FEWEST:
        return [_line(name, None, **common, reason=f"needs {2 * FEWEST} halvings") for name in names]
    mean, far = levels(_mean_and_far, unlearned, retrained, SEED, prepared=binned)
    return [_line(names[0], mean, **common), {**_line(names[1], far, **common), "low": None, "high": None}]


def _mean_and_far(unlearned: Bins, retrained: Bins) -> Wide:
    found = klom_of_bins(unlearned, retrained)
    return np.array([found.mean(), np.quantile(found, 0.95)])


def _forgetting(bank: Bank, unlearned: Floats, retrained: Floats) -> list[dict[str, Any]]:
    """The score of forgetting alone, and times what the models are still good for."""
    models = len(unlearned)
    assert models >= forgetting.FEWEST, "smaller designs are refused"
    common = {"samples": "forgotten", "models": models, "largest_epsilon": largest_epsilon(models)}
    (score,) = levels(_score, unlearned, retrained, SEED)
    factor = utility(bank)
    whole = None if factor is None else Level(*(factor * getattr(score, name) for name in FIELDS))
    return [
        _line("forgetting score", score, **common),
        _line("forgetting score x RA x TA", whole, **common, reason=None if whole else f"not known of {EARLIER}"),
    ]


def _score(unlearned: Floats, retrained: Floats) -> Wide:
    return np.array([points(epsilons(unlearned, retrained)).mean()])


def utility(bank: Bank) -> float | None:
    """RA / RA of the retrained x TA / TA of the retrained; TA is taken on the samples that the halving held out."""
    if bank.right is None or bank.retrained_right is None:
        return None
    kept, held_out = bank.roles["retained"], bank.roles["never"]
    ratios = [bank.right[role].mean() / bank.retrained_right[role].mean() for role in (kept, held_out)]
    return float(np.prod(ratios))


def left_over(right: Bools, pair: Integers, own: Bools, never: Bools) -> dict[str, Any]:
    """The line of memorisation: accuracy on samples that models were trained on (and forgot), less on those never seen.

    Of originals it is the mean of Feldman and Zhang's score. By pair of halvings, with Student's interval over pairs.
    """
    index = numbered(pair)
    inside, outside = (
        by_group((right & role).astype(np.float64), index).sum(axis=1)
        / by_group(role.astype(np.float64), index).sum(axis=1)
        for role in (own, never)
    )
    differences = inside - outside
    half = student.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
    value = float(differences.mean())
    level = Level(value, value - half, value + half, *[np.nan] * 3)
    return _line("memorisation", level, samples="forgotten", models=len(right))


def in_groups(values: Floats, pair: Integers, role: Bools) -> Floats:
    """[G, k, n] the values [M, n] under each group's models that have the role there, k of each, in the models' order.

    Designs are balanced: of each pair of complementary halvings equally many models have forgotten (kept, never seen) a
    sample.
    """
    taken = []
    for group in np.unique(pair):
        rows = np.flatnonzero(pair == group)
        count = role[rows].sum(axis=0)
        assert (count == count[0]).all(), "the design is not balanced"
        order = np.argsort(~role[rows], axis=0, kind="stable")[: count[0]]
        taken.append(np.take_along_axis(values[rows], order, axis=0))
    return np.stack(taken)


def _line(verdict: str, level: Level | None, **more: Any) -> dict[str, Any]:
    values = [None if level is None else float(getattr(level, name)) for name in FIELDS]
    known = {
        name: None if value is None or np.isnan(value) else value for name, value in zip(FIELDS, values, strict=True)
    }
    return {"verdict": verdict, "reason": None, "largest_epsilon": None, **known, **more}
