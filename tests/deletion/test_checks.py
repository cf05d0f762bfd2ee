"""The checks on made-up outputs: each is passed and failed by what it is meant for, and by nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deepunlearn.deletion.checks import Evidence, Relearnt, failed, judge
from deepunlearn.deletion.report import Check, Limits

LIMITS = Limits(accuracy_drop=0.02, attack_auc=0.05, relearn=True)
SIZES = {"retain": 400, "forget": 40, "held_out": 600}
CLASSES = 4


def logits(labels: np.ndarray, confidence: np.ndarray | float, wrong: int = 0) -> np.ndarray:
    """The first `wrong` samples are taken for the next class; confidence [n]: the largest logit, others are 0."""
    answers = np.where(np.arange(len(labels)) < wrong, (labels + 1) % CLASSES, labels)
    return (np.eye(CLASSES)[answers] * np.broadcast_to(confidence, labels.shape)[:, None]).astype(np.float32)


def evidence(*, forget: float | np.ndarray = 3.0, held_out: float = 3.0, wrong: int = 0, **changes: Any) -> Evidence:
    """Of a model that was sure of what it was trained on, and an unlearned one with these confidences."""
    labels = {name: np.arange(size) % CLASSES for name, size in SIZES.items()}
    spread = {name: np.random.RandomState(0).normal(0, 1, size) for name, size in SIZES.items()}
    before = {name: logits(own, {"held_out": 3.0}.get(name, 9.0) + spread[name]) for name, own in labels.items()}
    after = {
        "retain": logits(labels["retain"], 9.0),
        "forget": logits(labels["forget"], forget + spread["forget"]),
        "held_out": logits(labels["held_out"], held_out + spread["held_out"], wrong),
    }
    given: dict[str, Any] = {
        "before": before,
        "after": after,
        "labels": labels,
        "compared": np.arange(SIZES["forget"]),
        "unseen": np.arange(SIZES["held_out"]),
        "forgotten_classes": (),
        "weights_finite": True,
        "moved": 0.01,
        "relearnt": Relearnt(deleted=3, twins=4, most=100),
    }
    return Evidence(**{**given, **changes})


def judged(given: Evidence, limits: Limits = LIMITS) -> dict[str, Check]:
    return {check.name: check for check in judge(given, limits)}


def outcomes(given: Evidence) -> dict[str, str]:
    return {name: check.outcome for name, check in judged(given).items()}


def test_a_model_that_forgot_and_kept_the_rest_passes_all() -> None:
    assert outcomes(evidence()) == {
        "works": "passed",
        "accuracy": "passed",
        "attack": "passed",
        "deleted": "not judged",
        "relearning": "not judged",
    }
    assert not failed(judge(evidence(), LIMITS))
    assert "told them apart before" in judged(evidence())["attack"].found


@pytest.mark.parametrize(
    ("given", "fails"),
    [
        (evidence(forget=9.0), "attack"),
        (evidence(forget=-3.0), "attack"),
        (evidence(wrong=12), "accuracy"),
        (evidence(moved=0.0), "works"),
        (evidence(weights_finite=False), "works"),
    ],
    ids=["still known", "known by its losses", "less accurate", "not moved", "weights"],
)
def test_a_check_fails_by_what_it_is_for_and_by_that_alone(given: Evidence, fails: str) -> None:
    assert [name for name, outcome in outcomes(given).items() if outcome == "failed"] == [fails]


def test_the_drop_is_judged_by_the_end_of_its_interval() -> None:
    accuracy = judged(evidence(wrong=4))["accuracy"]
    drop = accuracy.figures[0].drop
    assert drop is not None and drop.high is not None
    assert drop.value == pytest.approx(4 / 600) and drop.value < 0.02 / 2
    limits = LIMITS.model_copy(update={"accuracy_drop": drop.high - 1e-4})
    failing = judged(evidence(wrong=4), limits)["accuracy"]
    assert accuracy.outcome == "passed" and failing.outcome == "failed"
    assert "more held-out samples" in failing.found and "more held-out samples" not in accuracy.found


def test_a_useless_model_fails_and_says_why() -> None:
    found = judged(evidence(wrong=500))
    assert found["works"].outcome == "failed" and "share of the commonest" in found["works"].found


def test_outputs_that_are_no_numbers_end_the_checks() -> None:
    given = evidence()
    broken = {**given.after, "forget": np.full_like(given.after["forget"], np.nan)}
    (works,) = judge(replace(given, after=broken), LIMITS)
    assert works.outcome == "failed" and "Logits are not finite on deleted" in works.found


def test_an_attack_that_never_found_them_says_nothing_of_the_deletion() -> None:
    given = evidence()
    unsure = replace(given, before={**given.before, "forget": given.after["forget"]})
    attack = judged(unsure)["attack"]
    assert attack.outcome == "not judged" and "says nothing about the deletion" in attack.found


def test_of_classes_that_are_deleted_whole_a_model_that_never_saw_them_knows_none() -> None:
    given = evidence()
    mixed = replace(given, forgotten_classes=(int(given.labels["forget"][0]),))
    whole = replace(
        mixed, labels={**given.labels, "forget": np.full_like(given.labels["forget"], given.labels["forget"][0])}
    )
    found = [judged(one)["deleted"].found for one in (given, mixed, whole)]
    assert found[0].endswith("as many as on unseen samples of their classes.")
    assert found[1].endswith("of their classes, and on none of whole classes.")
    assert found[2].endswith("a model that never saw a class would be right on none of it.")


@pytest.mark.parametrize(("compared", "unseen"), [(9, 600), (40, 9)])
def test_the_attack_is_not_judged_below_ten_samples(compared: int, unseen: int) -> None:
    attack = judged(evidence(forget=9.0, compared=np.arange(compared), unseen=np.arange(unseen)))["attack"]
    assert attack.outcome == "not judged" and "n/a" in attack.found
    figure = attack.figures[0]
    assert figure.after is None and (figure.samples, figure.against) == (compared, unseen)


def test_samples_of_classes_without_unseen_ones_are_said_to_be_left_out() -> None:
    figure = judged(evidence(compared=np.arange(30)))["attack"].figures[0]
    assert figure.note is not None and "10 deleted samples are left out" in figure.note


def test_of_a_class_that_is_deleted_whole_nobody_need_know_anything() -> None:
    given = evidence()
    lost = logits(np.where(given.labels["held_out"] == 1, 2, given.labels["held_out"]), 3.0)
    unable = replace(given, after={**given.after, "held_out": lost})
    assert judged(unable)["accuracy"].outcome == "failed"
    accuracy = judged(replace(unable, forgotten_classes=(1,)))["accuracy"]
    assert accuracy.outcome == "passed" and accuracy.figures[0].samples == 450


def test_a_change_of_accuracy_is_said_as_a_drop_or_a_gain_and_never_below_zero() -> None:
    given = evidence()
    better = {**given.before, "held_out": logits(np.roll(given.labels["held_out"], 1), 3.0)}
    gained = judged(replace(given, before=better))["accuracy"].found
    assert re.search(
        r": a gain of 0\.\d{3}; with 95 % confidence it is between a gain of 1\.000 and a gain of 0\.", gained
    )
    same = judged(replace(given, after=given.before))["accuracy"].found
    assert re.search(r": no change; with 95 % confidence it is between a gain of .* and a drop of", same)
    assert "-0." not in gained + same


@pytest.mark.parametrize(
    ("relearnt", "said"),
    [
        (
            Relearnt(deleted=1, twins=4, most=100),
            "After 1 step of training on them the model knows the deleted samples about as well as before. As many "
            "unseen samples of their classes take 4 steps to be known as well.",
        ),
        (
            Relearnt(deleted=0, twins=None, most=100),
            "They need not be learnt again: without any training the model knows them about as well as before. As many "
            "unseen samples of their classes are not known as well after 100 steps.",
        ),
        (Relearnt(deleted=0, twins=0, most=100), "As many unseen samples of their classes need no training either"),
        (
            Relearnt(deleted=None, twins=1, most=100),
            "After 100 steps of training on them the model does not yet know the deleted samples as before. As many "
            "unseen samples of their classes take 1 step",
        ),
        (Relearnt(why_not={"deleted": "not measured: x", "twins": "not measured: x"}), "Not measured: x."),
        (
            Relearnt(deleted=2, most=9, why_not={"twins": "not measured: y"}),
            "knows the deleted samples about as well as before.",
        ),
    ],
)
def test_relearning_is_told(relearnt: Relearnt, said: str) -> None:
    check = judged(evidence(relearnt=relearnt))["relearning"]
    assert said in check.found and check.outcome == "not judged"
