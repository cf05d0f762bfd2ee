"""Distances of weights by block, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from deepunlearn.measures import block_distance
from deepunlearn.testing.made_models import PARTS
from deepunlearn.testing.measure_contract import ORIGINAL, RETRAINED
from tests.measures.made import outputs


def test_it_is_zero_beside_oneself_and_by_hand_beside_others() -> None:
    found = block_distance.measure(outputs(ORIGINAL))
    mine, theirs = (np.concatenate([of[part] for part in PARTS]).astype(float) for of in (ORIGINAL, RETRAINED))
    assert found["moved_block_1"] == found["moved_head"] == 0
    assert found["apart_block_1"] == pytest.approx(np.linalg.norm(mine - theirs) / np.linalg.norm(theirs))
    assert found["apart_head"] == 0 and found["moved_block_2"] is None
