"""How numbers of things are said, and how paragraphs of pages are broken."""

from __future__ import annotations

import re

import pytest

from deepunlearn.core.words import COLUMNS, number_of, paragraph


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 samples"), (1, "1 sample"), (2, "2 samples"), (2000, "2,000 samples")]
)
def test_only_one_is_said_in_the_singular(count: int, said: str) -> None:
    assert number_of(count, "sample") == said


def test_a_paragraph_is_broken_where_no_line_begins_with_a_marker() -> None:
    for start in range(COLUMNS - 12, COLUMNS - 4):
        text = f"- {'x' * start} - 1 + b > c 3. d `e-f` {'y' * 40}"
        lines = paragraph(text).splitlines()
        assert " ".join(map(str.strip, lines)) == text and max(map(len, lines)) <= COLUMNS
        assert not [line for line in lines[1:] if re.match(r"  ([-+>]|\d+\.) ", line) or line[:2] != "  "]
