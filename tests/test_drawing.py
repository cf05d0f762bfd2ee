"""The drawing and the table of docs/architecture.md are those of the source."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.drawing import DRAWING, PAGE, drawing, page, reached, rows, shown, uses


def test_the_page_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run python -m tests.drawing"
    assert DRAWING.read_text(encoding="utf-8") == drawing(), "run python -m tests.drawing"


def test_the_drawing_has_every_part_and_every_arrow_points_down() -> None:
    graph = shown()
    drawn = ElementTree.fromstring(drawing())
    assert sorted(one.text or "" for one in drawn.iter("{http://www.w3.org/2000/svg}text")) == sorted(graph)
    place = {unit: number for number, row in enumerate(rows(graph)) for unit in row}
    assert place.keys() == graph.keys()
    assert all(place[unit] < place[other] for unit, others in graph.items() for other in others)
    whole = uses()
    assert {unit: reached(graph, unit) for unit in graph} == {unit: reached(whole, unit) for unit in graph}


def test_no_part_rests_on_itself() -> None:
    graph = uses()
    assert not {unit for unit in graph if unit in reached(graph, unit)}
