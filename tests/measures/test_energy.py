"""Energy of a call and of retraining with a meter that can be foreseen, and without any."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.core.errors import NotApplicable
from deepunlearn.instruments import energy as instrument
from deepunlearn.measures import energy
from deepunlearn.testing.measure_contract import ORIGINAL
from tests.measures.made import outputs


class ThreeJoules:
    """Counts 3 joules a reading and ignores the clock."""

    def read(self) -> float:
        return 0.0

    def between(self, before: float, now: float) -> float:
        return 3.0


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "meters_of", lambda runtime: [ThreeJoules(), ThreeJoules()])
    monkeypatch.setattr(energy, "SECONDS", 0.0)
    assert energy.measure(outputs(ORIGINAL)) == {"energy_J": 6, "energy_ratio": 6 / 10 * 1000 / 6}


def test_short_calls_are_repeated_until_a_meter_can_see_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "meters_of", lambda runtime: [ThreeJoules()])
    monkeypatch.setattr(energy, "SECONDS", 0.01)
    given = outputs(ORIGINAL)
    calls: list[int] = []
    unlearn = given.call.unlearn
    monkeypatch.setattr(given.call, "unlearn", lambda around: (calls.append(1), unlearn(around)))
    assert energy.measure(given)["energy_J"] == 3 and len(calls) > 1


def test_a_machine_without_meters_is_told_and_nothing_is_estimated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(instrument.processors, "__defaults__", (tmp_path,))
    with pytest.raises(NotApplicable, match="cannot be measured"):
        energy.measure(outputs(ORIGINAL))
