"""U-MIA: are forgotten samples told from never-seen ones by their loss? (Deep Unlearn, section 2, footnote 1)"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from threadpoolctl import threadpool_limits

from deepunlearn.core.errors import Diverged

FOLDS = 10


def mia_accuracy(member_losses: npt.NDArray[np.float64], nonmember_losses: npt.NDArray[np.float64], seed: int) -> float:
    """Accuracy of the attack in [0, 1], the mean over 10 stratified folds; 0.5 is chance.

    member_losses [N] are those of D_F, nonmember_losses [M] those of D_V or D_T. Both are shuffled with `seed` and
    trimmed to min(N, M); the attack is scikit-learn's logistic regression with its defaults on the one raw loss. The
    loss is deliberately not standardised: that is the definition. A consequence: the solver stops at its start, with
    MIA 0.5, where losses are all below about 1e-3 (or all above 1e7, which no usable model reaches).

    Raises Diverged for non-finite losses, ValueError for fewer than 10 samples on a side.
    """
    size = min(len(member_losses), len(nonmember_losses))
    if size < FOLDS:
        raise ValueError(f"the attack needs at least {FOLDS} losses per side, got {size}; splits must refuse this")
    generator = np.random.default_rng(seed)
    sides = [_finite(side)[generator.permutation(len(side))[:size]] for side in (member_losses, nonmember_losses)]
    features = np.concatenate(sides)[:, None]
    labels = np.repeat([1, 0], size)
    with threadpool_limits(1, user_api="blas"):  # products this small only wait for a second thread, if others compute
        folds = cross_val_score(LogisticRegression(), features, labels, cv=StratifiedKFold(FOLDS), scoring="accuracy")
    return float(folds.mean())


def discernibility(mia: float) -> float:
    """Disc = |2 MIA - 1| in [0, 1]: 0 where the attack is at chance. An attack that is always wrong tells as much."""
    return abs(2 * mia - 1)


def indiscernibility(mia: float) -> float:
    """Indisc = 1 - Disc in [0, 1], best 1."""
    return 1 - discernibility(mia)


def _finite(side: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    bad = int(np.count_nonzero(~np.isfinite(side)))
    if bad:
        raise Diverged(
            "the losses under attack are not finite",
            given=f"{bad} of {len(side)} samples",
            allowed="finite losses",
            remedy="the model diverged: a smaller learning rate, or fewer epochs, usually helps",
        )
    return side
