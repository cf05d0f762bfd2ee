"""The plot's labels: none on another, none on a mark, all inside."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from deepunlearn.analysis.page.tradeoff import FRAME, WIDTH, Box, Mark, label_box, labelled

TITLES = ("MSG", "SalUn", "PRMQ", "retrained", "FT", "GA", "KDE", "CF-k", "EU-k", "SCRUB")
PLACES = st.tuples(st.floats(FRAME.left, FRAME.right), st.floats(FRAME.top, FRAME.bottom))


def marks(places: list[tuple[float, float]]) -> list[Mark]:
    return [Mark(title, title, "", x, y, "method") for title, (x, y) in zip(TITLES, places, strict=False)]


@given(st.lists(PLACES, min_size=1, max_size=len(TITLES)))
@settings(deadline=None, max_examples=50)
def test_labels_never_lie_on_each_other_and_stay_inside(places: list[tuple[float, float]]) -> None:
    placed = labelled(marks(places))
    assert {mark.title for mark in placed} == {mark.title for mark in marks(places)}
    boxes = [label_box(mark) for mark in placed]
    assert all(one.overlap(other) < 1 for one, other in combinations(boxes, 2))
    assert all(FRAME.left <= box.left and box.right <= WIDTH for box in boxes)


def test_a_mark_alone_has_its_label_beside_it_and_no_line() -> None:
    (placed,) = labelled(marks([(200.0, 200.0)]))
    assert not placed.line and 0 < placed.label_x - placed.x < 10 and placed.label_y == placed.y


def test_a_crowd_gets_lines() -> None:
    placed = labelled(marks([(200.0 + number, 200.0) for number in range(len(TITLES))]))
    assert any(mark.line for mark in placed)
    dots = [Box(mark.x - 3, mark.y - 3, mark.x + 3, mark.y + 3) for mark in placed]
    assert all(label_box(mark).overlap(dot) == 0 for mark in placed for dot in dots)
