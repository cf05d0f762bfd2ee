"""CF-k against a plain loop; what it shares with EU-k is in tests/ops/test_tail.py."""

from __future__ import annotations

import pytest

from deepunlearn.testing.small import model, state
from tests.methods.last_blocks import PARAMS, TRAINED, last_blocks_expected
from tests.methods.oracles import UNEVEN, close, confident, run, student_of


@pytest.mark.parametrize(("k", "trained"), TRAINED)
def test_cfk_trains_the_last_blocks_and_pulls_it_to_the_original(k: int, trained: tuple[str, ...]) -> None:
    original = confident(model())
    expected = last_blocks_expected(student_of(original), UNEVEN["retain"], trained, towards=state(original))
    close(run("cfk", original, UNEVEN, **{**PARAMS, "k": k}), expected)
