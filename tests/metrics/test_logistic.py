"""The fast logistic regression against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit, cross_val_score

from deepunlearn.metrics.logistic import fitted, folded_accuracy, shuffled_accuracy


def drawn(scale: float, ratio: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Losses of as many members as others, whose losses are larger by `ratio`."""
    random = np.random.RandomState(size)
    losses = np.concatenate([random.exponential(scale, size), random.exponential(ratio * scale, size)])
    return losses, np.repeat([True, False], size)


@pytest.mark.parametrize("scale", [1e-5, 3e-4, 1e-3, 1e-2, 1.0, 1e3])
@pytest.mark.parametrize("ratio", [1.0, 1.5, 30.0])
def test_it_finds_what_scikit_learn_finds(scale: float, ratio: float) -> None:
    """Also where that stops at its start: slope and intercept are 0 then, and no sample counts as a member."""
    losses, members = drawn(scale, ratio, 300)
    own = LogisticRegression().fit(losses[:, None], members)
    assert fitted(losses, members) == pytest.approx((own.coef_[0, 0], own.intercept_[0]), rel=1e-6, abs=1e-9)


def test_tiny_losses_are_not_told_apart() -> None:
    """The trap: a solver that goes on to the optimum would separate them, and so give another measure."""
    losses = np.repeat([1e-5, 1e-4], 100)
    assert fitted(losses, losses < 5e-5) == (0, 0)
    assert shuffled_accuracy(losses, losses < 5e-5, seed=0) == 0.5


@pytest.mark.parametrize("size", [10, 61, 500])
@pytest.mark.parametrize("scale", [1e-5, 1e-3, 0.1, 2.0])
def test_folds_are_those_of_scikit_learn(size: int, scale: float) -> None:
    losses, members = drawn(scale, 2.0, size)
    slow = cross_val_score(LogisticRegression(), losses[:, None], members, cv=StratifiedKFold(10)).mean()
    assert folded_accuracy(losses, members, 10) == pytest.approx(slow, abs=1e-12)


def test_shuffled_splits_are_those_of_scikit_learn() -> None:
    losses, members = drawn(0.5, 1.5, 400)
    splits = StratifiedShuffleSplit(n_splits=5, test_size=0.8, random_state=3)
    slow = cross_val_score(LogisticRegression(), losses[:, None], members, cv=splits, scoring="accuracy").mean()
    assert shuffled_accuracy(losses, members, seed=3) == pytest.approx(slow, abs=1e-12)
    assert 0.5 < slow < 0.7
