"""Peak of memory of a call, by hand."""

from __future__ import annotations

import pytest

from deepunlearn.measures import peak_memory
from deepunlearn.testing.measure_contract import ORIGINAL
from tests.measures.made import outputs


def test_by_hand() -> None:
    """Two matrices and their product, of four bytes a number."""
    given = outputs(ORIGINAL)
    rows = int(given.call.alike.split()[0])
    assert peak_memory.measure(given)["peak_MB"] == pytest.approx(4 * (8 * rows + 8 * 8 + 8 * rows) / 1e6)
