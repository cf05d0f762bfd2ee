"""The drawing and the table of docs/architecture.md are those of the source."""

from __future__ import annotations

from tests.drawing import PAGE, page, reached, uses


def test_the_page_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run python -m tests.drawing"


def test_no_part_rests_on_itself() -> None:
    graph = uses()
    assert not {unit for unit in graph if unit in reached(graph, unit)}
