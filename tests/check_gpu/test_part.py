"""What is kept of a check that was stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.check_gpu.part import Kept, Outcome, Part, State


def nothing() -> Outcome:
    return Outcome("ok")


PART = Part("steps/resnet18/fp32", nothing)
MADE = {"device": "cpu", "commit": "abc"}


def test_an_outcome_comes_back_as_it_was(tmp_path: Path) -> None:
    kept = Kept(tmp_path, MADE)
    assert kept.get(PART) is None
    outcome = Outcome("ok", "said", {"ms": "1.5"}, 2.0)
    kept.put(PART, outcome)
    assert Kept(tmp_path, MADE).get(PART) == outcome
    assert PART.group == "steps"


@pytest.mark.parametrize(("state", "settled"), [("ok", True), ("failed", True), ("not run", False)])
def test_what_the_machine_kept_from_running_is_tried_again(tmp_path: Path, state: State, settled: bool) -> None:
    kept = Kept(tmp_path, MADE)
    kept.put(PART, Outcome(state))
    assert (kept.get(PART) is not None) == settled


@pytest.mark.parametrize("change", [{"device": "GPU"}, {"commit": "def"}, {"torch": "2.14"}])
def test_what_another_device_or_other_code_has_done_does_not_count(tmp_path: Path, change: dict[str, str]) -> None:
    Kept(tmp_path, MADE).put(PART, Outcome("ok"))
    assert Kept(tmp_path, {**MADE, **change}).get(PART) is None
