"""CF-k against a plain loop; what it shares with EU-k is in tests/ops/test_tail.py."""

from __future__ import annotations

import pytest

from deepunlearn.testing.small import model, state
from tests.methods.oracles import UNEVEN, close, confident, run, student_of
from tests.methods.tails import TAIL, TAILS, tail_expected


@pytest.mark.parametrize(("k", "tail"), TAILS)
def test_cfk_trains_the_tail_and_pulls_it_to_the_original(k: int, tail: tuple[str, ...]) -> None:
    original = confident(model())
    expected = tail_expected(student_of(original), UNEVEN["retain"], tail, towards=state(original))
    close(run("cfk", original, UNEVEN, **{**TAIL, "k": k}), expected)
