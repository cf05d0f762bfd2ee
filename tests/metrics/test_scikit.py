"""Metrics of scikit-learn by name: what can be written, what is refused, and that scikit-learn's value comes out."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from math import isfinite
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError, NotApplicable
from deepunlearn.metrics import scikit
from deepunlearn.metrics.added import Outputs, computed

LABELS = np.arange(60) % 3
LOGITS = np.random.RandomState(0).randn(60, 3) + np.eye(3)[LABELS]
SHARES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
ANSWERS = LOGITS.argmax(axis=1)


def value(text: str, labels: np.ndarray = LABELS, logits: np.ndarray = LOGITS) -> float | None:
    """Of the test part under an unlearned model that is unlike the references."""
    parts = dict.fromkeys(("retain", "forget"), labels[:30])
    others = {part: np.roll(logits, 1, axis=1)[: len(of)] for part, of in {**parts, "test": labels}.items()}
    own = {"retain": logits[:30], "forget": logits[:30], "test": logits}
    outputs = Outputs({**parts, "test": labels}, 0, own, others, own)
    measure = scikit.as_measure(text)
    return computed(measure, outputs)[measure.columns[0].name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sklearn.accuracy_score", sklearn.metrics.accuracy_score(LABELS, ANSWERS)),
        ("sklearn.f1_score(average=macro)", sklearn.metrics.f1_score(LABELS, ANSWERS, average="macro")),
        ("sklearn.f1_score(average=macro, part=forget)",
         sklearn.metrics.f1_score(LABELS[:30], ANSWERS[:30], average="macro")),
        ("sklearn.accuracy_score(model=original)",
         sklearn.metrics.accuracy_score(LABELS, np.roll(LOGITS, 1, axis=1).argmax(axis=1))),
        ("sklearn.roc_auc_score(multi_class=ovr)", sklearn.metrics.roc_auc_score(LABELS, SHARES, multi_class="ovr")),
        ("sklearn.log_loss", sklearn.metrics.log_loss(LABELS, SHARES)),
        ("sklearn.top_k_accuracy_score(k=2)", sklearn.metrics.top_k_accuracy_score(LABELS, SHARES, k=2)),
        ("sklearn.hinge_loss", sklearn.metrics.hinge_loss(LABELS, LOGITS)),
        ("sklearn.mean_squared_error", sklearn.metrics.mean_squared_error(np.eye(3)[LABELS], SHARES)),
        ("sklearn.ndcg_score", sklearn.metrics.ndcg_score(np.eye(3)[LABELS], SHARES)),
    ],
)  # fmt: skip
def test_it_is_scikit_learns_value(text: str, expected: float) -> None:
    assert value(text) == pytest.approx(expected, rel=1e-12)


def test_of_two_classes_the_second_is_the_positive_one() -> None:
    labels, logits = LABELS % 2, LOGITS[:, :2]
    expected = sklearn.metrics.roc_auc_score(labels, logits[:, 1] - logits[:, 0])
    assert value("sklearn.roc_auc_score", labels, logits) == pytest.approx(expected)
    assert value("sklearn.hinge_loss", labels, logits) == sklearn.metrics.hinge_loss(
        labels, logits[:, 1] - logits[:, 0]
    )


@pytest.mark.parametrize("metric", scikit.available())
def test_each_that_is_listed_can_be_computed(metric: str) -> None:
    """Of ten classes, with what more than two need; so none is offered that never works."""
    known = scikit.settable(metric)
    extra = {"average": "macro", "multi_class": "ovr", "beta": "2"}
    given = ", ".join(f"{name}={value}" for name, value in extra.items() if name in known)
    found = scikit.read(f"sklearn.{metric}({given})").of(np.arange(40) % 10, np.random.RandomState(0).randn(40, 10))
    assert found is not None and isfinite(found) and abs(found) < 100


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sklearn.f1_score(average=macro)", "sklearn.f1_score( average = 'macro' , part=test, model=unlearned )"),
        ("sklearn.fbeta_score(beta=1, average=macro)", "sklearn.fbeta_score(average=macro, beta=1.0)"),
        ("sklearn.log_loss", "sklearn.log_loss(normalize=True)"),
        ("sklearn.log_loss()", "sklearn.log_loss(normalize=true)"),
        ("sklearn.f1_score(labels=[0,1], average=micro)", "sklearn.f1_score(average=micro, labels=(0, 1))"),
    ],
)
def test_equal_arguments_are_one_measure(one: str, other: str) -> None:
    assert scikit.as_measure(one) == scikit.as_measure(other)


def test_different_arguments_are_different_measures_with_columns_of_their_own() -> None:
    texts = [
        "sklearn.accuracy_score", "sklearn.accuracy_score(part=forget)", "sklearn.accuracy_score(model=retrained)",
        "sklearn.accuracy_score(normalize=false)", "sklearn.fbeta_score(beta=0.5, average=macro)",
        "sklearn.fbeta_score(beta=5, average=macro)",
    ]  # fmt: skip
    measures = [scikit.as_measure(text) for text in texts]
    assert len({one.name for one in measures}) == len({one.columns[0].name for one in measures}) == len(texts)
    assert measures[1].columns[0].name == "accuracy_score_forget"
    assert [one.columns[0].better for one in measures[:3]] == ["retrained", "retrained", "neither"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1e6, 1e6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)


@given(VALUES, st.sampled_from([*scikit.PARTS]))
def test_what_is_written_is_read_again(argument: object, part: str) -> None:
    text = f"sklearn.f1_score(zero_division={argument!r}, part={part})"
    call = scikit.read(text)
    assert scikit.read(call.text) == call and scikit.read(call.text).text == call.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sklearn.f1_scor(average=macro)", ["unknown metric of scikit-learn 'f1_scor'", "did you mean 'f1_score'"]),
        ("sklearn.confusion_matrix", ["balanced_accuracy_score", "unknown metric"]),
        ("sklearn.f1_score(averag=macro)", ["'averag'", "average, labels, model, part", "did you mean 'average'"]),
        ("sklearn.f1_score(average=makro)", ["'makro'", "macro", "average=binary"]),
        ("sklearn.fbeta_score(average=macro)", ["beta"]),
        ("sklearn.f1_score(average=macro, part=train)", ["'train'", "forget, retain, test, val"]),
        ("sklearn.f1_score(model=mine)", ["'mine'", "original, retrained, unlearned"]),
        ("sklearn.log_loss(labels=[0,1])", ["'labels'", "leave labels out"]),
        ("sklearn.f1_score(macro)", ["macro has no name"]),
        ("sklearn.f1_score(average=macro", ["cannot read"]),
        ("sklearn.f1_score(average=macro, average=micro)", ["cannot read", "average is given twice"]),
        ("sklearn.f1_score(average=print(1))", ["cannot read"]),
        ("sklearn.metrics.f1_score", ["cannot read", "sklearn.NAME"]),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(text: str, told: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        scikit.as_measure(text)
    assert all(word in str(refused.value) for word in told), refused.value


def test_a_metric_of_two_classes_is_refused_for_three() -> None:
    measure = scikit.as_measure("sklearn.roc_auc_score")
    scikit.check_classes([measure], [2])
    with pytest.raises(ConfigError, match="multi_class=") as refused:
        scikit.check_classes([measure], [2, 3])
    assert "of 3 classes" in str(refused.value)


def test_what_is_not_defined_is_none_and_what_fails_says_why() -> None:
    of_one_class = np.zeros(60, dtype=int)
    assert value("sklearn.roc_auc_score(multi_class=ovr)", of_one_class) is None
    with pytest.raises(NotApplicable, match="there is no val part"):
        value("sklearn.accuracy_score(part=val)")


def test_calls_are_quoted_for_hydra_and_those_in_quotes_stay() -> None:
    given = """[sklearn.f1_score(average="macro"),'sklearn.log_loss()',sklearn.accuracy_score]"""
    assert (
        scikit.quoted(given)
        == r"""["sklearn.f1_score(average=\"macro\")",'sklearn.log_loss()',sklearn.accuracy_score]"""
    )
    given = "[f1,sklearn.f1_score(average=macro, part=forget),'sklearn.log_loss()',sklearn.accuracy_score]"
    assert scikit.quoted(given) == (
        "[f1,\"sklearn.f1_score(average=macro, part=forget)\",'sklearn.log_loss()',sklearn.accuracy_score]"
    )


def test_commands_of_the_page_are_read_as_a_shell_gives_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "measures.md").read_text(encoding="utf-8")
    commands = [shlex.split(line, comments=True) for line in page.splitlines() if re.match("python.*sklearn", line)]
    assert len(commands) >= 3
    for words in commands:
        command = read_command([word for word in words[3:] if not word.startswith("method=")])
        asked = [one.name for one in command.sweep.measures if one.function == "scikit"]
        assert len(asked) == " ".join(words).count(scikit.PREFIX) > 0


@pytest.mark.slow
def test_reading_a_command_imports_neither_scikit_learn_nor_scipy() -> None:
    code = "import sys, deepunlearn.config; sys.exit(bool({'sklearn', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
