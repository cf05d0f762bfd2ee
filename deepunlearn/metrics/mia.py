"""Are forgotten samples told from never-seen ones by their loss?

`mia_accuracy` is U-MIA (Deep Unlearn, section 2, footnote 1): a logistic regression on the raw loss. Where losses are
small it sees nothing, however well they tell the two apart; `loss_auc` and `threshold_accuracy` depend on their order
alone, and `understated` says where that makes a difference.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedKFold

from deepunlearn.core.errors import SMALLER_RATE, Diverged
from deepunlearn.metrics import FOLDS
from deepunlearn.metrics.logistic import folded_accuracy, shuffled_accuracy

LEAST_GAP = 0.1  # of two accuracies: less is no reason for a warning, however many samples show it

Floats = npt.NDArray[np.float64]


def mia_accuracy(member_losses: Floats, nonmember_losses: Floats, seed: int) -> float:
    """Accuracy of the attack in [0, 1], the mean over 10 stratified folds; 0.5 is chance.

    member_losses [N] are those of D_F, nonmember_losses [M] those of D_V or D_T. Both are shuffled with `seed` and
    trimmed to min(N, M); the attack is scikit-learn's logistic regression with its defaults on the one raw loss. The
    loss is deliberately not standardised: that is the definition. A consequence: the solver stops at its start, with
    MIA 0.5, where losses are all below about 1e-3 (or all above 1e7, which no usable model reaches).

    Raises Diverged for non-finite losses, ValueError for fewer than 10 samples on a side.
    """
    losses, members = _drawn(member_losses, nonmember_losses, seed)
    return folded_accuracy(losses, members, FOLDS)


def shuffled_mia(member_losses: Floats, nonmember_losses: Floats, seed: int) -> float:
    """As `mia_accuracy`, with ERASURE's splits: the mean over 5 stratified shuffled ones, 80 % held out."""
    losses, members = _drawn(member_losses, nonmember_losses, seed)
    return shuffled_accuracy(losses, members, seed)


def threshold_accuracy(member_losses: Floats, nonmember_losses: Floats, seed: int) -> float:
    """As `mia_accuracy`, of the one threshold that is best on nine folds, whichever side of it members are on."""
    losses, members = _drawn(member_losses, nonmember_losses, seed)
    hits = []
    for known, judged in StratifiedKFold(FOLDS).split(losses, members):
        cut, below = _best_threshold(losses[known], members[known])
        hits.append(np.mean(((losses[judged] < cut) == below) == members[judged]))
    return float(np.mean(hits))


def loss_auc(member_losses: Floats, nonmember_losses: Floats) -> float:
    """Area under the ROC curve of the attack "the lower the loss, the likelier a member"; 0.5 is chance.

    The share of pairs of a member and another in which the member's loss is the lower one, equal losses counting half:
    exact, of all samples, and the same for any scale. Raises Diverged for non-finite losses.
    """
    members, others = _finite(member_losses), _finite(nonmember_losses)
    ranks = rankdata(np.concatenate([members, others]))[: len(members)]
    above = ranks.sum() - len(members) * (len(members) + 1) / 2
    return float(1 - above / (len(members) * len(others)))


def understated(member_losses: Floats, nonmember_losses: Floats, seed: int) -> bool:
    """Whether one threshold is right far more often than U-MIA's regression, which is a threshold, too.

    Then the regression has not left its start, and MIA is too near to 0.5. Far: by `LEAST_GAP`, and by three standard
    errors of an accuracy on so many samples.
    """
    sides = member_losses, nonmember_losses
    size = 2 * min(map(len, sides))
    gap = discernibility(threshold_accuracy(*sides, seed)) - discernibility(mia_accuracy(*sides, seed))
    return bool(gap / 2 > max(LEAST_GAP, 3 * 0.5 / size**0.5))


def discernibility(mia: float) -> float:
    """Disc = |2 MIA - 1| in [0, 1]: 0 where the attack is at chance. An attack that is always wrong tells as much."""
    return abs(2 * mia - 1)


def indiscernibility(mia: float) -> float:
    """Indisc = 1 - Disc in [0, 1], best 1."""
    return 1 - discernibility(mia)


def _drawn(member_losses: Floats, nonmember_losses: Floats, seed: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Equally many losses of either side, at random, and which are the members'; members first."""
    size = min(len(member_losses), len(nonmember_losses))
    if size < FOLDS:
        raise ValueError(f"the attack needs at least {FOLDS} losses per side, got {size}; splits must refuse this")
    generator = np.random.default_rng(seed)
    sides = [_finite(side)[generator.permutation(len(side))[:size]] for side in (member_losses, nonmember_losses)]
    return np.concatenate(sides), np.repeat([True, False], size)


def _best_threshold(losses: Floats, members: npt.NDArray[np.bool_]) -> tuple[float, bool]:
    """The cut with most right decisions, and whether members are below it; the first of equally good ones."""
    order = np.argsort(losses, kind="stable")
    values, inside = losses[order], members[order]
    right = np.concatenate([[0], np.cumsum(np.where(inside, 1, -1))]) + np.count_nonzero(~inside)  # members below
    possible = np.concatenate([[True], values[1:] > values[:-1], [True]])  # no cut between equal losses
    below, above = np.where(possible, right, -1), np.where(possible, len(losses) - right, -1)
    members_below = bool(below.max() >= above.max())
    best = int((below if members_below else above).argmax())
    edges = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    return float(edges[best]), members_below


def _finite(side: Floats) -> Floats:
    bad = int(np.count_nonzero(~np.isfinite(side)))
    if bad:
        raise Diverged(
            "the losses under attack are not finite",
            given=f"{bad} of {len(side)} samples",
            allowed="finite losses",
            remedy=SMALLER_RATE,
        )
    return side
