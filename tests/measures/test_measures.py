"""Measures from stored logits: plain versions from their definitions, known answers, and where they are undefined."""

from __future__ import annotations

import inspect
import json
import time
from math import exp, log, log2
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, f1_score, mean_squared_error, roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from deepunlearn.config.measures import added_measures
from deepunlearn.measures import (
    aus,
    calibration,
    difference_attack,
    divergence_in_seeds,
    f1,
    luma,
    nomus,
    rf_jsd,
    umia_erasure,
)
from deepunlearn.metrics.added import Group, Outputs, computed
from deepunlearn.metrics.divergence import apart
from deepunlearn.metrics.mia import mia_accuracy
from deepunlearn.registry import Folders
from deepunlearn.testing.measure_contract import LABELS, ORIGINAL, RETRAINED, logits
from tests.commands import run_command, sweep

OF_LOGITS = (
    "aus", "nomus", "rf_jsd", "luma", "umia_erasure", "difference_attack", "divergence", "calibration", "f1", "mse",
    "confidence_attack", "entropy_attack", "modified_entropy_attack", "correctness_attack",
)  # fmt: skip
FEW = {**LABELS, "forget": LABELS["forget"][:9]}
SECONDS = {"model": 1.0, "retrained": 10.0}


def outputs(of: dict[str, np.ndarray] = ORIGINAL, **more: Any) -> Outputs:
    return Outputs(LABELS, 0, of, ORIGINAL, RETRAINED, seconds=SECONDS, **more)


def few() -> Outputs:
    """Nine samples are forgotten: too few for an attack."""
    models = [{**one, "forget": one["forget"][:9]} for one in (ORIGINAL, ORIGINAL, RETRAINED)]
    return Outputs(FEW, 0, *models, seconds=SECONDS)


def share_right(of: dict[str, np.ndarray], part: str, without: int | None = None) -> float:
    rows = [(row, label) for row, label in zip(of[part], LABELS[part], strict=True) if label != without]
    return sum(int(row.argmax()) == label for row, label in rows) / len(rows)


def shares(row: np.ndarray) -> list[float]:
    powers = [exp(float(value)) for value in row]
    return [power / sum(powers) for power in powers]


def losses(of: dict[str, np.ndarray], part: str) -> list[float]:
    return [-log(shares(row)[label]) for row, label in zip(of[part], LABELS[part], strict=True)]


def test_aus_is_its_formula_and_of_a_whole_class_the_other() -> None:
    own = logits(forget=0.5, others=1.5)
    kept = 1 - (share_right(ORIGINAL, "test") - share_right(own, "test"))
    apart = abs(share_right(own, "test") - share_right(own, "forget"))
    expected = kept / (1 + apart)
    assert aus.measure(outputs(own)) == pytest.approx({"AUS": expected, "AUS_ERASURE": expected})
    without = 1 - (share_right(ORIGINAL, "test", without=2) - share_right(own, "test", without=2))
    whole = aus.measure(outputs(own, forgotten_classes=(2,)))
    assert whole == pytest.approx({"AUS": without / (1 + share_right(own, "forget")), "AUS_ERASURE": expected})
    assert aus.measure(outputs(own, forgotten_classes=(0, 1, 2, 3, 4)))["AUS"] is None


def test_aus_of_a_class_that_is_gone_is_best_where_it_is_never_recognised() -> None:
    """What ERASURE's form gets wrong: it takes a class that is forgotten as it should be for a distance from TA."""
    gone = logits(forget=-50.0)
    perfect = aus.measure(outputs(gone, forgotten_classes=(2,)))
    assert perfect["AUS"] == 1
    assert perfect["AUS_ERASURE"] is not None and perfect["AUS_ERASURE"] < 0.6


def test_nomus_is_half_accuracy_and_half_attack() -> None:
    attack = mia_accuracy(*(np.array(losses(ORIGINAL, part)) for part in ("forget", "test")), seed=0)
    expected = 0.5 * share_right(ORIGINAL, "test") + 0.5 * (1 - 2 * abs(attack - 0.5))
    assert nomus.measure(outputs())["NoMUS"] == pytest.approx(expected, abs=1e-6)


def test_umia_is_scikit_learns_on_erasures_splits() -> None:
    sides = [np.array(losses(ORIGINAL, part)) for part in ("forget", "test")]
    size, draw = min(map(len, sides)), np.random.default_rng(0)
    drawn = np.concatenate([side[draw.permutation(len(side))[:size]] for side in sides])
    splits = StratifiedShuffleSplit(n_splits=5, test_size=0.8, random_state=0)
    slow = cross_val_score(LogisticRegression(), drawn[:, None], np.repeat([1, 0], size), cv=splits).mean()
    assert umia_erasure.measure(outputs())["UMIA"] == pytest.approx(slow, abs=1e-6)


def test_rf_jsd_is_the_plain_loop_over_classes() -> None:
    own, expected = logits(forget=1.0), []
    for label in range(5):
        p, q = (
            np.mean([shares(row) for row, of in zip(model[part], LABELS[part], strict=True) if of == label], axis=0)
            for model, part in ((own, "forget"), (ORIGINAL, "test"))
        )
        sides = [sum(a * log2(a / ((b + c) / 2)) for a, b, c in zip(one, p, q, strict=True)) for one in (p, q)]
        expected.append(sum(sides) / 2)
    assert rf_jsd.measure(outputs(own))["RF_JSD"] == pytest.approx(np.mean(expected))
    assert rf_jsd.measure(outputs(own, forgotten_classes=(1,)))["RF_JSD"] == pytest.approx(
        np.mean(expected[:1] + expected[2:])
    )
    assert rf_jsd.measure(outputs(own, forgotten_classes=(0, 1, 2, 3, 4)))["RF_JSD"] is None


def test_the_difference_attack_finds_where_the_loss_rose() -> None:
    own = logits(forget=0.0)
    risen = [np.subtract(losses(own, part), losses(ORIGINAL, part)) for part in ("forget", "test")]
    slow = roc_auc_score(np.repeat([1, 0], [60, 80]), np.concatenate(risen))
    found = difference_attack.measure(outputs(own))
    assert found["Diff_AUC"] == pytest.approx(slow) and found["Diff_TPR"] is not None and found["Diff_TPR"] > 0.9
    assert difference_attack.measure(outputs(ORIGINAL))["Diff_AUC"] == 0.5, "nothing was done"


def test_calibration_by_bins_and_by_scikit_learn() -> None:
    rows = np.array([shares(row) for row in ORIGINAL["test"]])
    confidence, right = rows.max(axis=1), rows.argmax(axis=1) == LABELS["test"]
    error = 0.0
    for low in range(15):
        inside = [n for n in range(80) if low / 15 < confidence[n] <= (low + 1) / 15]
        if inside:
            error += len(inside) / 80 * abs(np.mean(right[inside]) - np.mean(confidence[inside]))
    found = calibration.measure(outputs())
    assert found["ECE"] == pytest.approx(error)
    assert found["Brier"] == pytest.approx(((rows - np.eye(5)[LABELS["test"]]) ** 2).sum(axis=1).mean())
    if "y_proba" in inspect.signature(brier_score_loss).parameters:  # of more than two classes since 1.7
        assert found["Brier"] == pytest.approx(brier_score_loss(LABELS["test"], rows, scale_by_half=False))


def test_confidence_on_the_edge_of_a_bin_counts_below_it() -> None:
    """1/15 steps of the definition: (0, 1/15], ..., (14/15, 1]."""
    edge = np.array([[0.6, 0.4], [0.61, 0.39]])  # 9/15, and the bin above
    assert calibration.expected_calibration_error(edge, np.array([0, 1])) == pytest.approx((0.4 + 0.61) / 2)
    assert calibration.expected_calibration_error(np.array([[1.0, 0]]), np.array([0])) == 0


def test_luma_of_known_parts() -> None:
    own = logits(forget=0.5)
    scores = {
        (name, part): f1_score(LABELS[part], of[part].argmax(axis=1), average="macro")
        for name, of in (("own", own), ("retrained", RETRAINED))
        for part in ("test", "forget")
    }
    gap = sum(abs(scores["own", part] - scores["retrained", part]) for part in ("test", "forget"))
    both = [umia_erasure.measure(outputs(of))["UMIA"] for of in (own, RETRAINED)]
    assert both[0] is not None and both[1] is not None
    parts = [exp(-4 * gap), exp(-4 * abs(both[0] - both[1])), exp(-((log(2) / log(11)) ** 3))]
    found = luma.measure(outputs(own))
    assert [found[f"LUMA_{name}"] for name in ("utility", "efficacy", "efficiency")] == pytest.approx(parts)
    assert found["LUMA"] == pytest.approx(3 / sum(1 / part for part in parts))


def test_the_retrained_model_has_no_more_than_its_own_time_allows() -> None:
    of = Outputs(LABELS, 0, RETRAINED, ORIGINAL, RETRAINED, seconds={"model": 7.0, "retrained": 7.0})
    assert luma.measure(of)["LUMA"] == pytest.approx(3 / (2 + exp(1)))
    untouched = Outputs(LABELS, 0, ORIGINAL, ORIGINAL, RETRAINED, seconds={"model": None, "retrained": None})
    assert luma.measure(untouched)["LUMA"] is None


@pytest.mark.parametrize("name", ["divergence", "calibration", "f1", "mse"])
def test_sample_by_sample_they_are_what_libraries_say(name: str) -> None:
    [measure] = added_measures(Folders(), [name])
    found = computed(measure, outputs())
    if name == "divergence":
        assert computed(measure, outputs(RETRAINED)) == dict.fromkeys(found, 0), (
            "the retrained model is at 0 from itself"
        )
        assert found["KL_F"] is not None and found["JS_T"] == 0 and found["KL_F"] > 0
    for part, letter in (("retain", "R"), ("forget", "F"), ("test", "T")):
        rows = np.array([shares(row) for row in ORIGINAL[part]])
        if name == "f1":
            assert found[f"F1_{letter}"] == f1_score(LABELS[part], rows.argmax(axis=1), average="macro")
        if name == "mse":
            assert found[f"MSE_{letter}"] == pytest.approx(mean_squared_error(np.eye(5)[LABELS[part]], rows))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_f1_is_scikit_learns_bit_for_bit(seed: int, samples: int) -> None:
    """Of so few samples some classes are neither among labels nor answers, and do not count."""
    random = np.random.default_rng(seed)
    rows, labels = random.integers(0, 3, (samples, 6)), random.integers(0, 6, samples)
    one = Outputs({"test": labels}, 0, {"test": rows})
    assert f1.macro_f1(one, "logits", "test") == f1_score(labels, rows.argmax(axis=1), average="macro", zero_division=0)


def test_where_too_few_are_forgotten_attacks_are_undefined_and_the_rest_is_not() -> None:
    undefined = set()
    for measure in added_measures(Folders(), list(OF_LOGITS)):
        values = computed(measure, few())
        undefined |= {name for name, value in values.items() if value is None}
        if None in values.values():
            assert measure.undefined, f"{measure.name} does not say when it is undefined"
    expected = {f"{name}_{kind}" for name in ("Conf", "Entr", "Mentr", "Correct", "Diff") for kind in ("AUC", "TPR")}
    assert undefined == {*expected, "NoMUS", "UMIA", "LUMA", "LUMA_efficacy"}


def test_ours_are_computed_only_when_asked_and_say_what_they_do_not() -> None:
    for measure in added_measures(Folders(), list(OF_LOGITS)):
        assert not measure.default and measure.limits and measure.cost, measure.name


@pytest.mark.slow
def test_all_of_a_model_take_a_fraction_of_a_second() -> None:
    """10,000 test samples, 36,000 retained, 4,000 forgotten, 10 classes: 0.2 s a model would be 3 minutes for 1,800."""
    random, sizes = np.random.RandomState(0), {"retain": 36_000, "forget": 4_000, "test": 10_000}
    labels = {part: random.randint(0, 10, size) for part, size in sizes.items()}
    labels["unseen_test"] = labels["test"]

    def model() -> dict[str, np.ndarray]:
        made = {
            part: (random.randn(size, 10) + 4 * np.eye(10)[labels[part]]).astype(np.float32)
            for part, size in sizes.items()
        }
        return {**made, "unseen_test": made["test"]}

    of = Outputs(labels, 0, model(), model(), model(), seconds=SECONDS)
    measures = added_measures(Folders(), list(OF_LOGITS))
    taken = {}
    for measure in measures:
        best = min(_seconds(measure, of) for _ in range(3))
        taken[measure.name] = best
    assert sum(taken.values()) < 0.5, taken


def _seconds(measure: Any, of: Outputs) -> float:
    start = time.process_time()
    computed(measure, of)
    return time.process_time() - start


FURTHER = "divergence_in_seeds,sklearn.f1_score(average=macro, part=forget),sklearn.log_loss,gap,ToW"
ASKED = f"[{','.join(OF_LOGITS)},{FURTHER}]"
WORK = (
    "dataset=digits", "arch=smallnet", "search=none", "train.epochs=4", "train.batch_size=16", "seeds=1", "method=ft",
    "dataset.limit=400", "runtime.threads=1", "forget=classes", "forget.classes=[3]",
)  # fmt: skip


@pytest.mark.slow
def test_a_sweep_that_forgets_a_class_has_them_all_in_its_tables(tmp_path: Path) -> None:
    """Through the command line and a sweep file; a call that is spelled otherwise is the same measure."""
    lines = [f"  - {json.dumps(one)}" for one in (*WORK[2:6], *WORK[7:], f"measures={ASKED}")]
    cell = "cells: [{dataset: digits, arch: smallnet}]\nmethods: [ft]\noverrides:\n"
    (tmp_path / "mine.yaml").write_text("# a test\n" + cell + "\n".join(lines) + "\n")
    first = sweep(tmp_path, "sweep=mine.yaml")
    assert first.returncode == 0 and "FAILED" not in first.stdout + first.stderr, first.stdout + first.stderr
    other = """measures=[f1,"sklearn.log_loss()",sklearn.f1_score(part='forget',average="macro")]"""
    again = sweep(tmp_path, *WORK, other)
    assert "nothing to do" in again.stdout, again.stdout + again.stderr
    notes = [json.loads(path.read_text()) for path in tmp_path.rglob("measures/*/*/meta.json")]
    assert {note["scikit_learn"] for note in notes if "scikit_learn" in note} == {sklearn.__version__}
    done = run_command("tables", tmp_path)
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
    table = pd.read_csv(tmp_path / "results" / "tables" / "digits-smallnet.csv").set_index("method")
    shown = [column for one in added_measures(Folders(), [*OF_LOGITS]) for column in one.columns if column.shown]
    assert {f"{column.name}_mean" for column in shown} <= set(table)
    assert {"f1_score_average_macro_forget_mean", "log_loss_test_mean"} <= set(table)
    assert table.loc["ft"][[f"{column.name}_mean" for column in shown if column.name != "RF_JSD"]].notna().all()
    assert table["RF_JSD_mean"].isna().all(), "the only class of D_F is forgotten whole"
    assert (
        table.loc["retrained", "JS_F_mean"] == 0
        and table.loc["retrained", "AUS_mean"] > table.loc["original", "AUS_mean"]
    )


def seeds(spread: float, moved: float | None, number: int = 40) -> Group:
    """Retrained models of so many seeds, and models that are as far from them as `moved` says; None: other seeds'."""
    draw = np.random.RandomState(0)
    parts = ("retain", "forget", "test")

    def models(base: list[dict[str, np.ndarray]], scale: float) -> list[dict[str, np.ndarray]]:
        return [{part: one[part] + scale * draw.randn(*one[part].shape) for part in parts} for one in base]

    retrained = models([RETRAINED] * number, spread)
    unlearned = models([RETRAINED] * number, spread) if moved is None else models(retrained, moved)
    return Group(LABELS, 0, unlearned, retrained)


def test_one_is_as_far_as_another_seed_and_the_interval_holds_it() -> None:
    found = divergence_in_seeds.measure(seeds(spread=0.3, moved=None))
    for letter in "RFT":
        value, low, high = (found[f"JS_{letter}_seeds{end}"] for end in ("", "_low", "_high"))
        assert value == pytest.approx(1, abs=0.05) and low is not None and high is not None
        assert low < 1 < high and high - low < 0.2
    near, far = (divergence_in_seeds.measure(seeds(0.3, moved))["JS_F_seeds"] for moved in (0.1, 1.0))
    assert near is not None and far is not None and near < 0.3 and far > 2


def test_it_is_the_ratio_of_the_two_means_and_needs_three_seeds() -> None:
    group = seeds(0.3, 0.6, number=3)
    above = [
        apart(one["forget"], other["forget"])[1] for one, other in zip(group.retrained, group.unlearned, strict=True)
    ]
    below = [apart(group.retrained[a]["forget"], group.retrained[b]["forget"])[1] for a, b in ((0, 1), (1, 2), (2, 0))]
    found = divergence_in_seeds.measure(group)
    assert found["JS_F_seeds"] == pytest.approx(sum(above) / sum(below)) and found["JS_seeds_models"] == 3
    few_seeds = divergence_in_seeds.measure(seeds(0.3, 0.6, number=2))
    assert {name for name, value in few_seeds.items() if value is not None} == {"JS_seeds_models"}
    assert divergence_in_seeds.measure(seeds(0.0, 0.6))["JS_F_seeds"] is None, "retrained models that are all the same"
