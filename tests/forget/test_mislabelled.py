"""Wrong labels: how many, which, and who sees them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.core.split import Split
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.mislabelled import MislabelledForget
from deepunlearn.metrics.accuracy import losses
from deepunlearn.metrics.counted import Counted
from tests.commands import called

LABELS = np.random.RandomState(0).permutation(np.arange(1200) % 6)


def cut(noise: float = 0.2, flip: str = "uniform", known: float = 1.0, seed: int = 1) -> Split:
    forget = MislabelledForget(name="mislabelled", noise=noise, flip=flip, known=known)  # type: ignore[arg-type]
    return make_splits(LABELS, LABELS[:300], limit=None, val_ratio=0.15, forget=forget, seed=seed).of(0)


@given(noise=st.floats(0.1, 0.4), known=st.floats(0.2, 1), flip=st.sampled_from(["uniform", "pairs"]))
def test_the_known_part_is_forgotten_and_the_rest_stays_wrong(noise: float, known: float, flip: str) -> None:
    split = cut(noise, flip, known)
    assert split.wrong is not None and split.wrong_labels is not None
    wrong = round(noise * len(split.train))
    assert len(split.wrong) == len(split.wrong_labels) == wrong
    assert len(split.forget) == round(known * wrong)
    assert set(split.forget) <= set(split.wrong) <= set(split.train)
    assert bool((np.diff(split.wrong) > 0).all())
    assert not (split.wrong_labels == LABELS[split.wrong]).any(), "a wrong label is wrong"


def test_pairs_are_the_next_class_and_the_first_after_the_last() -> None:
    split = cut(flip="pairs")
    assert split.wrong is not None and split.wrong_labels is not None
    assert np.array_equal(split.wrong_labels, (LABELS[split.wrong] + 1) % 6)


def test_uniform_takes_every_other_class_about_equally_often() -> None:
    split = cut(noise=0.4)
    assert split.wrong is not None and split.wrong_labels is not None
    further = np.bincount((split.wrong_labels - LABELS[split.wrong]) % 6, minlength=6)
    assert further[0] == 0
    assert further[1:].min() > 0.6 * further[1:].mean()


def test_the_wrong_labels_do_not_depend_on_which_are_known() -> None:
    whole, half = cut(known=1.0), cut(known=0.5)
    assert whole.wrong is not None and half.wrong is not None
    assert np.array_equal(whole.wrong, half.wrong)
    assert np.array_equal(whole.wrong_labels, half.wrong_labels)  # type: ignore[arg-type]
    assert set(half.forget) < set(whole.forget)


def test_classes_without_samples_are_no_labels() -> None:
    labels = np.array([0, 5])[np.arange(400) % 2]
    forget = MislabelledForget(name="mislabelled", noise=0.2, flip="uniform", known=1.0)
    split = make_splits(labels, labels, limit=None, val_ratio=0.1, forget=forget, seed=1).of(0)
    assert set(split.wrong_labels) == {0, 5}  # type: ignore[arg-type]


def test_labels_in_training_are_wrong_where_they_are_to_be_and_true_elsewhere() -> None:
    split = cut(noise=0.3)
    seen = split.labels_in_training(LABELS)
    assert np.array_equal(np.flatnonzero(seen != LABELS), split.wrong)
    assert np.array_equal(seen[split.wrong], split.wrong_labels)


@pytest.mark.parametrize("flip", ["uniform", "pairs"])
def test_a_class_that_retain_has_in_name_only_is_no_lost_class(flip: str) -> None:
    """Retain's labels are those that training sees."""
    split = cut(noise=0.9, flip=flip, known=0.05)
    assert len(np.unique(split.labels_in_training(LABELS)[split.retain])) == 6


@pytest.mark.parametrize("flip", ["uniform", "pairs"])
def test_the_attack_looks_at_unseen_samples_under_wrong_labels_of_the_same_kind(flip: str) -> None:
    split = cut(flip=flip)
    assert split.unseen_val is None and split.unseen_test is None, "all of them"
    for rows, own, seen in (
        (split.val, LABELS, split.unseen_val_labels),
        (split.test, LABELS[:300], split.unseen_test_labels),
    ):
        assert seen is not None and not (seen == own[rows]).any()
        assert flip == "uniform" or np.array_equal(seen, (own[rows] + 1) % 6)
    assert len(split.remarks) == 2 and "wrong labels" in split.remarks[1]
    counted = Counted.of(split)
    logits = np.random.RandomState(0).normal(size=(300, 6))
    unseen = counted.unseen_losses("test", {"test": logits}, {"test": LABELS[:300]})
    assert np.array_equal(unseen, losses(logits, split.unseen_test_labels))  # type: ignore[arg-type]


@pytest.mark.slow
def test_models_learn_the_wrong_labels_and_are_scored_on_the_true_ones(tmp_path: Path) -> None:
    """Retrained networks do not know the wrong labels that are forgotten, so that the attack finds nothing there."""
    small = (
        "dataset=digits", "arch=smallnet", "method=ft", "search=none", "seeds=1", "train.epochs=8", "keep=logits",
        "runtime.threads=1", "method.params.epochs=1", "train.lr=0.1",
    )  # fmt: skip
    values = "forget.noise=0.45", "forget.flip=pairs", "forget.known=0.7"
    done = called(tmp_path, *small, "forget=mislabelled", *values)
    assert done.returncode == 0, done.stderr
    rows = {row["method"]: row for row in (json.loads(path.read_text()) for path in tmp_path.rglob("row.json"))}
    original, retrained = rows["original"], rows["retrained"]
    assert retrained["corrected_known"] > 0.7 > original["corrected_known"] + 0.1
    assert retrained["corrected_unknown"] > original["corrected_unknown"]
    assert retrained["FA"] < 0.2 < original["FA"], "on the labels that training sees"
    assert abs(retrained["MIA_AUC"] - 0.5) < 0.07 < original["MIA_AUC"] - 0.5
    assert rows["ft"]["forget_title"] == "45 % wrong labels (pairs), 70 % of them known"
