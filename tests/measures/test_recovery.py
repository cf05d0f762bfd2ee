"""Recovery time: nothing where nothing broke, its limit where it does not come back."""

from __future__ import annotations

import pytest

from deepunlearn.measures import recovery
from deepunlearn.testing.measure_contract import ORIGINAL, logits
from tests.measures.made import outputs


def test_what_is_not_broken_takes_nothing_whatever_was_forgotten() -> None:
    for of in (ORIGINAL, logits(forget=-9.0)):
        assert recovery.measure(outputs(of)) == {"recovery_steps": 0, "recovered": True}


def test_what_is_broken_takes_steps_and_more_the_more_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "EPOCHS", 60)  # of one step
    original = logits(forget=4.0, retain=2.5)
    broken = [logits(2.0, retain=retain) for retain in (2.35, 2.3, -40.0)]
    little, more, much = (recovery.measure(outputs(one, original)) for one in broken)
    assert 0 < little["recovery_steps"] < more["recovery_steps"] < 60 and little["recovered"]
    assert much == {"recovery_steps": 60, "recovered": False}
