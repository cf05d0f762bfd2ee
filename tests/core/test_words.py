"""How numbers of things are said."""

from __future__ import annotations

import pytest

from deepunlearn.core.words import number_of


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 samples"), (1, "1 sample"), (2, "2 samples"), (2000, "2,000 samples")]
)
def test_only_one_is_said_in_the_singular(count: int, said: str) -> None:
    assert number_of(count, "sample") == said
