"""Operations of a call and of retraining, by hand; once for all seeds."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pytest

from deepunlearn.measures import flops
from deepunlearn.testing.measure_contract import ORIGINAL
from tests.measures.made import outputs


@pytest.fixture(autouse=True)
def _nothing_counted_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flops, "_known", {})


def nothing(around: AbstractContextManager[Any]) -> None:
    with around:
        pass


def test_by_hand() -> None:
    """Rows x 8 x 8 products with their sums; retraining is 10 rows a step, and passes through 1000."""
    given = outputs(ORIGINAL)
    rows = int(given.call.alike.split()[0])
    found = flops.measure(given)
    assert found["FLOPs"] == 2 * rows * 8 * 8
    assert found["FLOPs_ratio"] == pytest.approx(1000 / rows)


def test_seeds_are_not_counted_again_and_other_calls_are(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []
    given = outputs(ORIGINAL)
    monkeypatch.setattr(
        given.call, "unlearn", lambda around: runs.append(around.__enter__().__exit__(None, None, None))
    )
    first = flops.measure(given)
    assert flops.measure(given) == first and len(runs) == 1
    given.call.alike = "another"  # type: ignore[misc]
    flops.measure(given)
    assert len(runs) == 2


def test_a_call_without_products_has_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    given = outputs(ORIGINAL)
    monkeypatch.setattr(given.call, "unlearn", nothing)
    assert flops.measure(given) == {"FLOPs": 0, "FLOPs_ratio": None}
