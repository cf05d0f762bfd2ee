"""Partitions cut one after another: by hand, under other names, and what cannot be cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.progress import Progress
from deepunlearn.core.samples import Labelled
from deepunlearn.core.split import Split
from deepunlearn.core.validation import validate
from deepunlearn.data.attributes import Attributes
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.steps import StepsForget
from deepunlearn.launch.plan import Planner
from tests.commands import called

LABELS = np.random.RandomState(0).permutation(np.arange(1000) % 5)
PERSONS = np.arange(1000) // 10  # 100 persons of 10 samples
ATTRIBUTES = Attributes(train={"identity": PERSONS}, test={"identity": 1000 + np.arange(200)})

SMALL = (
    "dataset=digits", "arch=smallnet", "method=ft", "search=none", "seeds=1", "train.epochs=6", "dataset.limit=600",
    "runtime.threads=1", "method.params.epochs=1", "keep=logits",
    "train.lr=0.1", "train.batch_size=32",
)  # fmt: skip

Given = dict[str, Any]
HALF: Given = {"from": "train", "by": "share", "share": 0.5, "into": ["retain", "forget"]}


def forget_of(*steps: Given) -> StepsForget:
    return validate(StepsForget, {"name": "steps", "steps": list(steps)}, "forget")


def cut(*steps: Given, seed: int = 1, val_ratio: float = 0.1) -> Split:
    return make_splits(
        LABELS,
        LABELS[:200],
        limit=None,
        val_ratio=val_ratio,
        forget=forget_of(*steps),
        seed=seed,
        attributes=ATTRIBUTES,
        class_names=tuple("abcde"),
    ).of(0)


def everything(split: Split) -> list[Any]:
    return [split.retain.tolist(), split.forget.tolist(), split.val.tolist(), split.test.tolist()]


ERASURE: tuple[Given, ...] = (
    {"from": "train", "by": "where", "where": {"identity": list(range(20))}, "into": ["forget", "other ids"]},
    {"from": "other ids", "by": "share", "share": 0.8, "into": ["kept", "test"]},
    {"from": "kept", "by": "share", "share": 0.9, "into": ["retain", "val"]},
)


def test_erasures_case_forgets_all_pictures_of_twenty_persons() -> None:
    split = cut(*ERASURE)
    assert np.array_equal(split.forget, np.flatnonzero(PERSONS < 20))
    assert [len(split.retain), len(split.val), len(split.test)] == [576, 64, 160]
    assert split.test_of_train
    parts = np.concatenate([split.retain, split.forget, split.val, split.test])
    assert np.array_equal(np.sort(parts), np.arange(1000)), "each sample is in one partition"


def test_validation_and_test_are_as_for_other_kinds_unless_a_step_cuts_them() -> None:
    split = cut(HALF)
    assert not split.test_of_train and np.array_equal(split.test, np.arange(200))
    assert len(split.val) == 100 and [len(split.retain), len(split.forget)] == [450, 450]
    own = cut({**HALF, "into": ["forget", "rest"]}, {**HALF, "from": "rest", "into": ["retain", "val"]})
    assert [len(own.forget), len(own.retain), len(own.val)] == [500, 250, 250], "dataset.val_ratio is not used then"


def test_each_rule_takes_what_it_says() -> None:
    split = cut(
        {"from": "train", "by": "classes", "classes": ["b"], "into": ["b", "others"]},
        {"from": "b", "by": "count", "count": 40, "into": ["forget", "left"]},
        {"from": ["left", "others"], "by": "concat", "into": ["retain"]},
    )
    assert len(split.forget) == 40 and set(LABELS[split.forget]) == {1}
    assert len(split.retain) == 860


@given(names=st.permutations(["kept", "other ids", "α", "x y"]), seed=st.integers(0, 1000))
def test_other_names_give_the_same_samples_and_the_same_key(names: list[str], seed: int) -> None:
    first, second = names[:2]
    renamed = (
        {**ERASURE[0], "into": ["forget", first]},
        {**ERASURE[1], "from": first, "into": [second, "test"]},
        {**ERASURE[2], "from": second},
    )
    assert everything(cut(*ERASURE, seed=seed)) == everything(cut(*renamed, seed=seed))
    data = Labelled(LABELS, LABELS[:200], tuple("abcde"), ATTRIBUTES)
    assert forget_of(*ERASURE).key_fields(data) == forget_of(*renamed).key_fields(data)


def test_what_a_step_draws_derives_from_the_seed_and_its_place() -> None:
    halves = {**HALF, "into": ["forget", "rest"]}, {**HALF, "from": "rest", "into": ["retain", "test"]}
    split = cut(*halves)
    first = np.isin(np.union1d(split.train, split.test), split.forget)
    second = np.isin(np.union1d(split.retain, split.test), split.retain)
    assert 0.4 < (first[:450] == second).mean() < 0.6, "two steps that cut alike do not draw alike"
    assert 0.4 < np.isin(split.forget, cut(*halves, seed=2).forget).mean() < 0.6


def test_the_unseen_samples_are_those_that_the_same_rule_picks() -> None:
    """Of a person whose pictures are all forgotten there are none, so by class; of a class cut in two, this class."""
    persons = cut(*ERASURE)
    assert persons.unseen_test is not None and len(persons.remarks) == 2
    assert "matched by class" in persons.remarks[0] and not np.isin(persons.unseen_test, persons.forget).any()
    shares = np.bincount(LABELS[persons.forget], minlength=5) / 200
    assert (
        np.abs(np.bincount(LABELS[persons.unseen_test], minlength=5) / len(persons.unseen_test) - shares).max() < 0.02
    )
    whole = cut(
        {"from": "train", "by": "classes", "classes": [1], "into": ["b", "others"]},
        {"from": "b", "by": "share", "share": 0.7, "into": ["forget", "more"]},
        {"from": "others", "by": "share", "share": 0.7, "into": ["retain", "rest"]},
        {"from": ["more", "rest"], "by": "concat", "into": ["test"]},
    )
    assert whole.forgotten_classes == (1,) and not whole.remarks
    assert np.array_equal(whole.unseen_test, whole.test[LABELS[whole.test] == 1])  # type: ignore[arg-type]
    assert cut(HALF).unseen_test is None, "chance alone: all of them"


def test_what_several_rules_left_is_matched_by_class() -> None:
    split = cut(
        {"from": "train", "by": "where", "where": {"identity": {"from": 40}}, "into": ["late", "early"]},
        {"from": "early", "by": "classes", "classes": [0, 1], "into": ["kept", "forget"]},
        {"from": ["late", "kept"], "by": "concat", "into": ["retain"]},
    )
    assert set(LABELS[split.forget]) == {2, 3, 4} and PERSONS[split.forget].max() < 40
    assert split.unseen_test is not None and set(LABELS[split.unseen_test]) == {2, 3, 4}
    assert "several steps decided" in split.remarks[0]


@pytest.mark.parametrize(
    ("steps", "problem", "words"),
    [
        (({**HALF, "from": "trian"},), "no partition 'trian'", "did you mean 'train'"),
        (
            (HALF, {**HALF, "from": "train", "into": ["val", "test"]}),
            "partition 'train' is taken twice",
            "step 1 has taken it",
        ),
        (({**HALF, "into": ["retain", "rest"]},), "no step leaves a partition called forget", "rest"),
        (({**HALF, "into": ["forget", "rest"]},), "no step leaves a partition called retain", "rest"),
        (
            ({**HALF, "into": ["retain", "a"]}, {**HALF, "from": "a", "into": ["forget", "b"]}),
            "a partition is left over",
            "concat",
        ),
        (({**HALF, "into": ["retain", "retain"]},), "there is a partition 'retain' already", "another name"),
        (({**HALF, "by": "count"},), "a step by count does not have the values", "count: VALUE"),
        (({**HALF, "count": 3},), "a step by share does not have the values", "nothing else"),
        (({**HALF, "into": ["forget"]},), "a step by share has other partitions", "CHOSEN, REST"),
        (({**HALF, "by": "halves"},), r"forget.steps\[0\].by", "concat"),
        (({**HALF, "amount": 3},), "unknown option", "amount"),
        (({**HALF, "share": 1.5},), r"forget.steps\[0\].share", "less than 1"),
        ((), "forget.steps", "a list that is not empty"),
    ],
)
def test_steps_that_do_not_hang_together_are_refused(steps: tuple[Given, ...], problem: str, words: str) -> None:
    with pytest.raises(ConfigError, match=problem) as error:
        forget_of(*steps)
    assert words in str(error.value)


def test_an_empty_partition_is_refused_with_its_step() -> None:
    nobody = {"from": "train", "by": "share", "share": 0.0001, "into": ["forget", "retain"]}
    with pytest.raises(ConfigError, match=r"step 1 of forget.steps leaves partition 'forget' empty"):
        cut(nobody)


def test_a_cascade_is_the_same_after_a_round_trip_through_a_file() -> None:
    forget = forget_of(*ERASURE)
    assert StepsForget.model_validate_json(forget.model_dump_json()) == forget


@pytest.mark.slow
def test_models_are_trained_and_tested_on_what_the_steps_say(tmp_path: Path) -> None:
    steps = (
        "[{from: train, by: classes, classes: [3, 4], into: [some, others]},"
        " {from: some, by: share, share: 0.5, into: [forget, kept]},"
        " {from: [kept, others], by: concat, into: [left]},"
        " {from: left, by: share, share: 0.7, into: [retain, unseen]},"
        " {from: unseen, by: count, count: 60, into: [test, val]}]"
    )
    done = called(tmp_path, *SMALL, "forget=steps", f"forget.steps={steps}")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.rglob("split.npz")
    with np.load(path) as arrays:
        split = Split.of_arrays(dict(arrays))
    assert split.test_of_train and len(split.test) == 60
    sweep = read_command([*SMALL, f"results={tmp_path / 'results'}"]).sweep
    labels = Planner(sweep, Progress(quiet=True)).data(0).train_labels
    assert set(labels[split.forget]) == {3, 4}
    rows = [json.loads(path.read_text()) for path in tmp_path.rglob("row.json")]
    assert {row["method"] for row in rows} == {"original", "retrained", "ft"}
    assert all(
        [row["n_retain"], row["n_val"], row["n_test"]] == [len(split.retain), len(split.val), 60] for row in rows
    )
    for role in ("original", "retrained"):
        (path,) = tmp_path.rglob(f"reference/{role}/*/logits.npz")
        with np.load(path) as logits:
            right = logits["test"].argmax(1) == labels[split.test]
        assert next(row["TA"] for row in rows if row["method"] == role) == pytest.approx(right.mean())
        assert right.mean() > 0.4, "digits of the training part, with their own labels"
