"""CKA by block: 1 beside oneself, and which samples are looked at."""

from __future__ import annotations

import numpy as np
import pytest

from deepunlearn.measures import cka
from deepunlearn.testing.measure_contract import ORIGINAL, RETRAINED, logits
from tests.measures.made import outputs


@pytest.mark.parametrize(("of", "role"), [(ORIGINAL, "original"), (RETRAINED, "retrained")])
def test_a_model_is_like_itself(of: dict[str, np.ndarray], role: str) -> None:
    found = cka.measure(outputs(of))
    assert [found[f"CKA_{role}{part}{block}"] for part in ("", "_test") for block in ("", "_1")] == pytest.approx(
        [1] * 4
    )
    other = "retrained" if role == "original" else "original"
    assert 0 < (found[f"CKA_{other}"] or 0) < 0.999, "they differ on D_F"
    assert found[f"CKA_{other}_test"] == pytest.approx(1), "and are equal on D_T"
    assert found["CKA_original_2"] is None, "there is one block"


def test_a_block_that_tells_nothing_has_no_similarity() -> None:
    nothing = {part: np.zeros_like(values) for part, values in ORIGINAL.items()}
    assert set(cka.measure(outputs(nothing)).values()) == {None}


def test_it_looks_at_all_parts_of_what_is_sorted_by_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cka, "SAMPLES", 12)
    part = outputs(ORIGINAL).models.parts["forget"]
    rows = part.labels.argsort()
    few = cka._some(part.subset(rows))
    assert len(few) == 12 and set(few.labels.tolist()) == set(range(5))
    assert len(cka._some(part.subset(range(7)))) == 7


def test_nearer_outputs_are_more_alike() -> None:
    near, far = (cka.measure(outputs(logits(forget=forget)))["CKA_retrained"] or 0 for forget in (1.8, 0.0))
    assert far < near < 1
