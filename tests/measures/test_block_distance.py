"""Distances of weights by block, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deepunlearn.core.errors import NotApplicable
from deepunlearn.learning import Ensemble
from deepunlearn.measures import block_distance, cka
from deepunlearn.testing.made_models import PARTS
from deepunlearn.testing.measure_contract import ORIGINAL, RETRAINED
from tests.measures.made import outputs


def test_it_is_zero_beside_oneself_and_by_hand_beside_others() -> None:
    found = block_distance.measure(outputs(ORIGINAL))
    mine, theirs = (np.concatenate([of[part] for part in PARTS]).astype(float) for of in (ORIGINAL, RETRAINED))
    assert found["moved_block_1"] == found["moved_head"] == 0
    assert found["apart_block_1"] == pytest.approx(np.linalg.norm(mine - theirs) / np.linalg.norm(theirs))
    assert found["apart_head"] == 0 and found["moved_block_2"] is None


@pytest.mark.parametrize("module", [block_distance, cka])
def test_an_ensemble_has_no_blocks_beside_those_of_the_original(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given = outputs(ORIGINAL)
    ensemble = Ensemble([given.models.original(), given.models.retrained()])
    monkeypatch.setattr(given.models, "unlearned", lambda: ensemble)
    with pytest.raises(NotApplicable, match="not built like the original"):
        module.measure(given)
