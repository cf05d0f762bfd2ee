"""Anamnesis index: 1 for the retrained model, near 0 for what was never forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from deepunlearn.instruments import relearning
from deepunlearn.measures import ain, relearn
from deepunlearn.testing.measure_contract import ORIGINAL, RETRAINED, logits
from tests.measures.made import outputs


def test_the_retrained_model_has_one() -> None:
    assert ain.measure(outputs(RETRAINED)) == {"AIN": 1, "AIN_steps": 1}


def test_it_is_the_ratio_of_relearn_times_by_hand() -> None:
    of = logits(forget=0.5)
    own, retrained = (relearn.measure(outputs(one)) for one in (of, RETRAINED))
    found = ain.measure(outputs(of))
    assert found["AIN"] == pytest.approx((own["RT_near"] + 0.01) / (retrained["RT_near"] + 0.01))
    assert found["AIN_steps"] == pytest.approx((own["RT_near_steps"] + 0.01) / (retrained["RT_near_steps"] + 0.01))
    assert ain.measure(outputs(ORIGINAL))["AIN"] == pytest.approx(0.01 / (retrained["RT_near"] + 0.01))


def test_published_values_come_out() -> None:
    """Of ERASURE's table 1, where the retrained model takes 2 epochs; theirs are cut off behind the third digit."""
    assert [ain._index(epochs, 2) for epochs in (4, 100, 35, 2, 0)] == pytest.approx(
        [1.995, 49.756, 17.418, 1.0, 0.005], abs=5e-4
    )


def test_the_retrained_model_is_relearnt_once_for_all_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relearning, "_known", {})
    taken: list[Any] = []
    train = relearning.relearn
    monkeypatch.setattr(relearning, "relearn", lambda *args, **named: taken.append(1) or train(*args, **named))
    for forget in (1.0, 0.0):
        ain.measure(outputs(logits(forget=forget)))
    assert len(taken) == 1
