"""What every measure that has a file of its own must keep, on the outputs of made models."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from deepunlearn.core.errors import NotApplicable
from deepunlearn.core.measure_config import Column, Measure
from deepunlearn.metrics.added import Group, NotAsked, Outputs, computed
from deepunlearn.metrics.counted import EVERYTHING
from deepunlearn.testing.made_models import MadeCall, MadeModels
from deepunlearn.testing.run import only

CLASSES = 5
FORGOTTEN = 3  # the class of forget sets that take one whole
Cut = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
SIZES = {"retain": 200, "forget": 60, "val": 60, "test": 80}
UNSEEN = EVERYTHING.with_attacked  # adds, as further parts, what the attack looks at
LABELS = UNSEEN({part: np.arange(size) % CLASSES for part, size in SIZES.items()})


def logits(forget: float, others: float = 2.0, retain: float = 4.0) -> dict[str, np.ndarray]:
    """Of a model that favours the true label by this much on D_F, and by `others` on what it is not trained on."""
    favour = {"retain": retain, "forget": forget, "val": others, "test": others}
    noise = {part: np.random.RandomState(size).randn(size, CLASSES) for part, size in SIZES.items()}
    values = {part: noise[part] + favour[part] * np.eye(CLASSES)[LABELS[part]] for part in SIZES}
    return UNSEEN({part: value.astype(np.float32) for part, value in values.items()})


ORIGINAL, RETRAINED = logits(forget=4.0), logits(forget=2.0)


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    """A measure that changes what it is given fails in the test of that, and spoils no other."""
    made = (ORIGINAL, RETRAINED, LABELS)
    before = copy.deepcopy(made)
    yield
    for was, now in zip(before, made, strict=True):
        for part, array in now.items():
            array[...] = was[part]


def values(measure: Measure, of: dict[str, np.ndarray], seed: int = 0) -> dict[str, float | bool | None]:
    """A meter that this machine lacks skips the test."""
    try:
        return computed(measure, group(of, seed) if measure.over == "seeds" else outputs(measure, of, seed))
    except NotApplicable as error:
        if measure.repeatable:
            raise
        pytest.skip(str(error))


def whole_class(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of values by part those of a split that forgets `FORGOTTEN` whole: the attack looks at test samples of it."""
    own = {part: LABELS[part] == FORGOTTEN for part in SIZES}
    cut = {"retain": values["retain"][~own["retain"]], "forget": values["forget"][own["forget"]]}
    return {**values, **cut, **{f"unseen_{part}": values[part][own[part]] for part in ("val", "test")}}


def few(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of values by part those of a split that forgets five samples: too few for an attack."""
    return {**values, "forget": values["forget"][:5]}


SETS: dict[str, tuple[Cut, tuple[int, ...]]] = {
    "where a class is forgotten whole": (whole_class, (FORGOTTEN,)),
    "where five samples are forgotten": (few, ()),
}


def outputs(
    measure: Measure, of: dict[str, np.ndarray], seed: int, cut: Cut = dict, classes: tuple[int, ...] = ()
) -> Outputs:
    """What it needs of a model with these logits, whose weights differ from others' as its logits do.

    cut: by what forget set; classes: those that it takes whole.
    """
    of, original, retrained, labels = (cut(one) for one in (of, ORIGINAL, RETRAINED, LABELS))
    models = {"model": of, "original": original, "retrained": retrained}
    given: dict[str, Any] = {}
    if "logits" in measure.needs:
        given = {"logits": of, "original": original, "retrained": retrained}
    if "weights" in measure.needs:
        given["weights"] = {name: {"head.weight": one["forget"][:CLASSES]} for name, one in models.items()}
    if "training" in measure.needs:
        given["seconds"] = {"model": 1.0, "retrained": 10.0}
    if "models" in measure.needs:
        given["models"] = MadeModels(of, original, retrained, labels, seed)
    if "call" in measure.needs:
        given["call"] = MadeCall(of, labels)
    return Outputs(labels, seed, forgotten_classes=classes, **given)


def group(of: dict[str, np.ndarray], seed: int, cut: Cut = dict) -> Group:
    """Models of twelve seeds that differ from one with these logits by noise, and retrained ones beside."""
    of = cut(of)

    def drawn(one: dict[str, np.ndarray], side: int) -> list[dict[str, np.ndarray]]:
        noise = [np.random.RandomState([side, number]) for number in range(12)]
        return [
            {part: value + noise[number].randn(*value.shape).astype(np.float32) for part, value in one.items()}
            for number in range(12)
        ]

    return Group(cut(LABELS), seed, drawn(of, 0), drawn(cut(RETRAINED), 1))


def distance(column: Column, value: float | bool | None) -> float:
    """How far a value is from what its YAML takes as good; only differences of it mean something."""
    assert value is not None, f"{column.name} is not defined on ordinary outputs"
    if column.better in ("lower", "higher"):
        return float(value) if column.better == "lower" else -float(value)
    return float(column.distance(float(value)))


def test_values_are_as_its_yaml_says_on_ordinary_outputs(measure: Measure) -> None:
    for of in (ORIGINAL, RETRAINED, logits(forget=-1.0)):
        assert set(values(measure, of)) == {column.name for column in measure.columns}


@only(lambda measure: measure.repeatable)  # others say of themselves that they read a meter
def test_equal_outputs_give_equal_values(measure: Measure) -> None:
    assert values(measure, ORIGINAL, seed=3) == values(measure, ORIGINAL, seed=3)


def test_it_leaves_what_it_is_given_as_it_is(measure: Measure) -> None:
    given = logits(forget=3.0)
    before = copy.deepcopy((given, ORIGINAL, RETRAINED, LABELS))
    values(measure, given)
    for one, other in zip(before, (given, ORIGINAL, RETRAINED, LABELS), strict=True):
        assert all(np.array_equal(one[part], other[part]) for part in one)


def test_what_cannot_tell_anything_gives_a_number_or_none(measure: Measure) -> None:
    values(measure, {part: np.zeros((len(labels), CLASSES), np.float32) for part, labels in LABELS.items()})
    values(measure, {part: 50 * output for part, output in ORIGINAL.items()})


@pytest.mark.parametrize("name", SETS)
def test_where_it_is_not_defined_is_said(measure: Measure, name: str) -> None:
    """Of a model that tells nothing, and on forget sets that leave attacks or accuracies without samples."""
    told = f"it is not defined {name}, and its YAML does not say so (undefined:)"
    cut, classes = SETS[name]
    silent = {part: np.zeros((len(labels), CLASSES), np.float32) for part, labels in LABELS.items()}
    for of in (ORIGINAL, silent):
        given = group(of, 0, cut) if measure.over == "seeds" else outputs(measure, of, 0, cut, classes)
        try:
            found = computed(measure, given)
        except NotApplicable as error:
            assert measure.undefined or not measure.repeatable, f"{told}: {error}"
        else:
            missing = [column for column, value in found.items() if value is None]
            assert measure.undefined or not missing, f"{told}: {', '.join(missing)}"


@only(lambda measure: "training" in measure.needs)
@pytest.mark.parametrize("model", [None, 1.0], ids=["of the original", "without a recipe"])
def test_seconds_may_be_unknown(measure: Measure, model: float | None) -> None:
    """The original has none, and where it is not known how it was trained retraining has none."""
    seconds = {"model": model, "retrained": None}
    found = computed(measure, replace(outputs(measure, ORIGINAL, 0), seconds=seconds))
    missing = [column for column, value in found.items() if value is None]
    told = "it is not defined where seconds are None, and its YAML does not say so (undefined:)"
    assert measure.undefined or not missing, f"{told}: {', '.join(missing)}"


@only(lambda measure: measure.alone)
def test_what_does_without_the_retrained_model_gives_the_same_without(measure: Measure) -> None:
    """In sweeps on a given original there may be none."""
    given = outputs(measure, ORIGINAL, 0)
    bare: dict[str, Any] = {"retrained": NotAsked("retrained")}
    if "models" in measure.needs:
        bare["models"] = MadeModels(ORIGINAL, ORIGINAL, {}, LABELS, 0)
    if "weights" in measure.needs:
        bare["weights"] = {name: one for name, one in given.weights.items() if name != "retrained"}
    assert computed(measure, replace(given, **bare)) == values(measure, ORIGINAL)


def _states() -> list[Any]:
    """Those of Python, NumPy and torch that a program shares."""
    return [random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state().tolist()]


def test_it_leaves_random_states_as_they_are(measure: Measure) -> None:
    """What other measures draw does not depend on which was computed before."""
    before = _states()
    values(measure, ORIGINAL)
    assert repr(before) == repr(_states()), (
        "it draws from a state that others draw from, too: use default_rng(outputs.seed)"
    )


def test_the_retrained_model_is_no_worse_than_the_original(measure: Measure) -> None:
    """They differ in the forget set alone, so this is also the direction of what `better:` says."""
    unlearned, untouched = values(measure, RETRAINED), values(measure, ORIGINAL)
    for column in (column for column in measure.columns if column.better in ("lower", "higher", "ideal")):
        near, far = (distance(column, measured[column.name]) for measured in (unlearned, untouched))
        assert near <= far + 1e-9, f"{column.name}: better: {column.better} is the wrong way round"


def test_its_words_are_there(measure: Measure) -> None:
    assert measure.title and measure.source
    for column in measure.columns:
        assert len(column.meaning.split()) > 1, f"{column.name} needs a meaning in words"


def test_it_looks_at_the_model(measure: Measure) -> None:
    models = (ORIGINAL, RETRAINED, logits(forget=0.0, others=1.0), logits(forget=-2.0, others=3.0, retain=1.0))
    if all(values(measure, one) == values(measure, models[0]) for one in models):
        pytest.fail("four different models get the same values")
