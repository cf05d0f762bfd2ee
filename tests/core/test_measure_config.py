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


def test_half_of_a_ratio_is_as_far_from_its_best_value_as_twice_of_it() -> None:
    given = {"name": "AIN", "meaning": "a ratio", "better": "ideal", "best": 1}
    plain, ratio = Column.model_validate(given), Column.model_validate({**given, "scale": "log"})
    assert plain.distance(0.01) < plain.distance(10), "so that what forgot nothing looks best"
    assert ratio.distance(0.01) > ratio.distance(10) and ratio.distance(0.5) == pytest.approx(ratio.distance(2))
    assert ratio.distance(1) == 0
    with pytest.raises(ValueError, match="positive best"):
        Column.model_validate({**given, "better": "higher", "best": None, "scale": "log"})
