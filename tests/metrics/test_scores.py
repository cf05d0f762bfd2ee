from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.core.errors import Diverged
from deepunlearn.core.split import Split
from deepunlearn.metrics.counted import EVERYTHING, Counted
from deepunlearn.metrics.efficiency import rte
from deepunlearn.metrics.retention import ret_dev, retention, undefined
from deepunlearn.metrics.scores import SCORES, completed, score
from deepunlearn.metrics.usable import usable

CLASSES = 4
Logits = dict[str, npt.NDArray[np.float32]]
Labels = dict[str, npt.NDArray[np.int64]]


def model(seed: int, strength: float = 2.0) -> tuple[Logits, Labels]:
    """Logits of a model that is right most of the time, and the labels."""
    generator = np.random.default_rng(0)
    labels = {
        part: generator.integers(CLASSES, size=n)
        for part, n in {"retain": 90, "forget": 30, "val": 40, "test": 50}.items()
    }
    noise = np.random.default_rng(seed)
    logits = {
        part: (noise.normal(size=(len(y), CLASSES)) + strength * np.eye(CLASSES)[y]).astype(np.float32)
        for part, y in labels.items()
    }
    return logits, labels


accuracies = st.floats(0, 1)


@given(st.tuples(*[accuracies] * 3), st.tuples(*[st.floats(0.01, 1)] * 3))
def test_ret_dev_is_never_negative(own: tuple[float, ...], reference: tuple[float, ...]) -> None:
    deviation = ret_dev(*[retention(u, r) for u, r in zip(own, reference, strict=True)])
    assert deviation is not None
    assert deviation >= 0


@given(st.floats(0.01, 1))
def test_retention_of_an_equal_model_is_one(accuracy: float) -> None:
    assert retention(accuracy, accuracy) == 1
    assert ret_dev(1.0, 1.0, 1.0) == 0


def test_ret_dev_known_value() -> None:
    assert ret_dev(retention(0.9, 1.0), retention(0.6, 0.8), retention(0.8, 0.64)) == pytest.approx(0.1 + 0.25 + 0.25)


def test_retention_of_a_part_the_retrained_model_cannot_do_is_undefined() -> None:
    assert retention(0.3, 0.0) is None
    assert ret_dev(1.0, None, 1.0) is None
    assert undefined(1.0, None, 1.0) == "RetDev undefined: the retrained model's accuracy is 0 on forget"
    assert undefined(1.0, 1.0, 1.0) is None


def test_rte() -> None:
    assert rte(100.0, 20.0) == 5
    assert rte(None, 20.0) is None
    assert rte(100.0, None) is None


@pytest.mark.parametrize(
    ("hits", "verdict"), [(55, False), (56, True)], ids=["exactly 1.1 x the share", "one more hit"]
)
def test_usable_needs_more_than_the_commonest_class(hits: int, verdict: bool) -> None:
    labels = np.repeat([0, 1], [50, 50])
    answers = np.where(np.arange(100) < hits, labels, 1 - labels)
    good, reason = usable(True, {"test": np.eye(2)[answers]}, labels)
    assert good is verdict
    assert (reason is None) is verdict


def test_unusable_says_why() -> None:
    labels = np.array([0, 1, 1, 1])
    constant = {"test": np.tile([0.0, 1.0], (4, 1))}
    assert usable(True, constant, labels) == (
        False,
        "TA 0.750 is not above 1.1 x 0.750 (share of the commonest test class)",
    )
    assert usable(False, constant, labels) == (False, "weights are not finite")
    broken = {"retain": np.full((2, 2), np.nan), **constant}
    assert usable(True, broken, labels) == (False, "logits are not finite on retain")


def test_identical_models_deviate_by_nothing() -> None:
    logits, labels = model(seed=1)
    scores = score(logits, logits, labels, seed=0)
    assert (scores["RetDev"], scores["gap"], scores["ToW"]) == (0, 0, 1)
    assert scores["RR"] == scores["FR"] == scores["TR"] == 1
    assert scores["usable"] is True
    assert scores["reason"] is None


def test_scores_by_hand() -> None:
    (logits, labels), (retrained, _) = model(seed=1), model(seed=2, strength=1.0)
    scores = score(logits, retrained, labels, seed=0)
    hits = {part: (logits[part].argmax(1) == labels[part]).mean() for part in labels}
    reference = {part: (retrained[part].argmax(1) == labels[part]).mean() for part in labels}
    assert [scores[name] for name in ("RA", "FA", "VA", "TA")] == [hits[part] for part in labels]
    assert scores["RetDev"] == pytest.approx(
        sum(abs(hits[part] / reference[part] - 1) for part in ("retain", "forget", "test"))
    )
    apart = [abs(hits[part] - reference[part]) for part in ("retain", "forget", "test")]
    assert scores["gap"] == pytest.approx(sum(apart) / 3) and scores["gap"] > 0
    assert scores["ToW"] == pytest.approx(math.prod(1 - one for one in apart))
    assert scores["Indisc"] == pytest.approx(1 - abs(2 * scores["MIA"] - 1))
    assert scores["Disc_val"] == pytest.approx(abs(2 * scores["MIA_val"] - 1))


def test_attack_uses_the_test_part_for_the_report_and_the_validation_part_for_the_search() -> None:
    logits, labels = model(seed=1)
    logits["forget"] = logits["forget"] + 30 * np.eye(CLASSES, dtype=np.float32)[labels["forget"]]
    logits["val"] = logits["val"] + 30 * np.eye(CLASSES, dtype=np.float32)[labels["val"]]
    logits["test"] = logits["test"] - 30 * np.eye(CLASSES, dtype=np.float32)[labels["test"]]
    scores = score(logits, model(seed=2)[0], labels, seed=0)
    assert scores["MIA"] == scores["MIA_AUC"] == 1
    assert scores["MIA_val"] < 0.7
    assert scores["MIA_AUC_val"] < 0.7
    assert scores["MIA_understated"] is False


def test_losses_too_small_for_the_regression_are_said_to_be() -> None:
    logits, labels = model(seed=1)
    for part, height in (("forget", 16), ("test", 10), ("val", 10)):
        logits[part] = height * np.eye(CLASSES, dtype=np.float32)[labels[part]]
    scores = score(logits, model(seed=2)[0], labels, seed=0)
    assert (scores["MIA"], scores["Indisc"], scores["MIA_AUC"], scores["MIA_AUC_val"]) == (0.5, 1, 1, 1)
    assert scores["MIA_understated"] is True


@pytest.mark.parametrize("part", ["retain", "forget", "val", "test"])
@pytest.mark.parametrize("weights_finite", [True, False])
def test_broken_logits_leave_no_scores(part: str, weights_finite: bool) -> None:
    (logits, labels), (retrained, _) = model(seed=1), model(seed=2)
    logits[part][3, 1] = np.inf
    scores = score(logits, retrained, labels, seed=0, weights_finite=weights_finite)
    assert all(scores[name] is None for name in SCORES)
    assert scores["usable"] is False
    assert scores["reason"]
    with pytest.raises(Diverged):
        score(retrained, logits, labels, seed=0)


def test_undefined_ret_dev_has_its_reason_in_the_row() -> None:
    (logits, labels), (retrained, _) = model(seed=1), model(seed=2)
    retrained["forget"] = -np.eye(CLASSES, dtype=np.float32)[labels["forget"]]
    scores = score(logits, retrained, labels, seed=0)
    assert scores["RetDev"] is None
    assert scores["FR"] is None
    assert scores["RR"] is not None
    assert scores["gap"] > 0 and scores["ToW"] < 1, "these are defined nevertheless"
    assert scores["usable"] is True
    assert scores["reason"] == "RetDev undefined: the retrained model's accuracy is 0 on forget"


def test_stored_scores_of_earlier_programs_are_completed() -> None:
    (logits, labels), (retrained, _) = model(seed=1), model(seed=2, strength=1.0)
    scores, of_retrained = (score(one, retrained, labels, seed=0) for one in (logits, retrained))
    older = {name: value for name, value in scores.items() if name not in ("gap", "ToW", "Disc_AUC")}
    assert completed(older, lambda: of_retrained) == scores
    assert completed(scores, dict) == scores, "what is there is not computed again"
    unusable = completed(dict.fromkeys(older), dict)
    assert unusable["gap"] is None and unusable["ToW"] is None


# ----------------------------------------------------------------------------------- what the forget set does to scores


WHOLE = Counted(forgotten_classes=(3,))


def test_a_class_that_is_forgotten_whole() -> None:
    """RetDev has no meaning, even where the retrained model gets one right; TR, gap and ToW take the other classes."""
    (logits, labels), (retrained, _) = model(seed=1), model(seed=2, strength=1.0)
    labels["forget"][:] = 3
    scores = score(logits, retrained, labels, seed=0, counted=WHOLE)
    kept = labels["test"] != 3
    hits = logits["test"].argmax(1) == labels["test"]
    reference = retrained["test"].argmax(1) == labels["test"]
    assert scores["TA"] == hits.mean()
    assert (scores["TA_retained"], scores["TA_forgotten"]) == (hits[kept].mean(), hits[~kept].mean())
    assert scores["TA_retained"] != scores["TA"] != scores["TA_forgotten"]
    assert scores["TR"] == pytest.approx(hits[kept].mean() / reference[kept].mean())
    assert (retrained["forget"].argmax(1) == 3).any() and scores["FR"] is None and scores["RetDev"] is None
    apart = [abs(scores[name] - other) for name, other in zip(("RA", "FA"), (
        (retrained["retain"].argmax(1) == labels["retain"]).mean(), (retrained["forget"].argmax(1) == 3).mean()
    ), strict=True)]  # fmt: skip
    apart.append(abs(hits[kept].mean() - reference[kept].mean()))
    assert (scores["gap"], scores["ToW"]) == pytest.approx((sum(apart) / 3, math.prod(1 - one for one in apart)))
    assert scores["reason"] == "RetDev undefined: class 3 forgotten whole, which the retrained model does not know"
    assert scores["usable"] is True and scores["RR"] is not None
    assert scores["VA_retained"] is not None and scores["VA_forgotten"] is not None


def test_without_such_a_class_nothing_is_split() -> None:
    logits, labels = model(seed=1)
    scores = score(logits, model(seed=2)[0], labels, seed=0, counted=EVERYTHING)
    assert [scores[f"{name}_{kind}"] for name in ("VA", "TA") for kind in ("retained", "forgotten")] == [None] * 4


def test_usable_looks_at_the_retained_classes() -> None:
    """All of class 3 wrong, others right: a good model of the rest. Right on class 3 alone: of no use."""
    labels = np.repeat([0, 1, 3], [20, 20, 60])
    knows_the_rest, knows_the_forgotten = np.where(labels == 3, 0, labels), np.where(labels == 3, 3, 2)
    good, bad = ({"test": np.eye(4)[answers]} for answers in (knows_the_rest, knows_the_forgotten))
    assert usable(True, good, labels, WHOLE) == (True, None)
    assert not usable(True, good, labels)[0] and usable(True, bad, labels)[0] is False
    assert usable(True, bad, labels, WHOLE) == (
        False, "TA_retained 0.000 is not above 1.1 x 0.500 (share of the commonest retained test class)",
    )  # fmt: skip
    assert usable(True, good, np.full(100, 3), WHOLE) == (False, "no test sample is of a retained class")


def test_the_attack_looks_at_samples_like_the_forgotten_ones() -> None:
    """Its scores are those of a test part that holds nothing else; accuracies are of the whole part."""
    (logits, labels), (retrained, _) = model(seed=1), model(seed=2)
    rows = np.arange(5, 35)
    counted = Counted((), {"test": rows, "val": rows})
    cut = {part: values[rows] if part in ("test", "val") else values for part, values in logits.items()}
    cut_labels = {part: values[rows] if part in ("test", "val") else values for part, values in labels.items()}
    found, known = score(logits, retrained, labels, seed=7, counted=counted), score(cut, cut, cut_labels, seed=7)
    whole = score(logits, retrained, labels, seed=7)
    attack = [name for name in SCORES if name.startswith(("MIA", "Disc", "Indisc"))]
    assert len(attack) == 9 and [found[name] for name in attack] == [known[name] for name in attack]
    assert [found[name] for name in attack] != [whole[name] for name in attack]
    assert {name: found[name] for name in SCORES if name not in attack} == {
        name: whole[name] for name in SCORES if name not in attack
    }


def test_an_attack_on_too_few_samples_is_not_made_and_says_why() -> None:
    (logits, labels), (retrained, _) = model(seed=1), model(seed=2)
    counted = Counted((), {"test": np.arange(9), "val": np.arange(10)})
    scores = score(logits, retrained, labels, seed=0, counted=counted)
    assert [scores[name] for name in ("MIA", "Disc", "Indisc", "MIA_AUC", "Disc_AUC", "MIA_understated")] == [None] * 6
    assert scores["Disc_val"] is not None, "the search has ten"
    assert scores["reason"] == "attack n/a: 9 samples of the test part match the forgotten ones, and it needs 10"
    assert scores["usable"] is True and scores["RetDev"] is not None
    both = score(logits, retrained, labels, seed=0, counted=Counted((3,), {"test": np.arange(0)}))
    assert both["reason"].startswith("RetDev undefined: class 3") and both["reason"].endswith("and it needs 10")
    few = {"forget": slice(9)}
    logits, labels = (
        {part: one[few.get(part, slice(None))] for part, one in side.items()} for side in (logits, labels)
    )
    scores = score(logits, logits, labels, seed=0)
    assert scores["reason"] == "attack n/a: 9 samples are forgotten, and it needs 10" and scores["Disc_val"] is None


def test_what_counts_follows_from_the_split() -> None:
    parts = [np.array(rows) for rows in ([0, 4, 6], [2, 8], [1, 5, 9], [3, 4, 7, 30])]
    split = Split(*parts, unseen_test=np.array([4, 30]), forgotten_classes=(1,))
    counted = Counted.of(split)
    assert counted.attacked("test", np.array([10, 11, 12, 13])).tolist() == [11, 13]
    assert counted.attacked("val", np.array([10, 11, 12])).tolist() == [10, 11, 12]
    assert counted.retained(np.array([0, 1, 2, 1])).tolist() == [True, False, True, False]
    assert counted.with_attacked({"val": np.arange(3), "test": np.arange(4)})["unseen_test"].tolist() == [1, 3]


def test_without_the_retrained_model_what_needs_it_is_none() -> None:
    logits, labels = model(seed=1)
    whole, bare = score(logits, logits, labels, seed=0), score(logits, None, labels, seed=0)
    relative = {"RR", "FR", "TR", "RetDev", "gap", "ToW"}
    assert {name for name in SCORES if bare[name] is None and whole[name] is not None} == relative
    assert {name: bare[name] for name in SCORES if name not in relative} == {
        name: whole[name] for name in SCORES if name not in relative
    }
