"""What a measure says of its columns."""

from __future__ import annotations

import pytest

from deepunlearn.core.measure_config import Column


@pytest.mark.parametrize(
    ("more", "header", "reference"),
    [
        ({"better": "lower"}, "X ↓", "lower is better"),
        ({"better": "higher", "best": 1}, "X ↑ (best 1)", "1: higher is better"),
        ({"better": "ideal", "best": 0.5}, "X (ideal 0.5)", "0.5: closer is better"),
        ({"better": "retrained"}, "X", "that of the retrained model: closer is better"),
        ({"better": "neither"}, "X", "neither direction is better"),
    ],
)
def test_headers_and_references_follow_from_the_direction(more: dict[str, object], header: str, reference: str) -> None:
    column = Column.model_validate({"name": "X", "meaning": "a test", **more})
    assert (column.header, column.reference) == (header, reference)
