"""Figures: which are drawn, that methods look the same in all of them, and that they show what the rows say."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from deepunlearn.analysis import figures, records
from deepunlearn.analysis.figures import scores
from deepunlearn.analysis.figures.style import COLOURS, INK, Picture, in_order, looks
from deepunlearn.analysis.ranking import rankings
from deepunlearn.config import method_configs
from deepunlearn.metrics.histograms import LOSS_EDGES

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf

BINS = len(LOSS_EDGES) - 1
TRIALS = "".join(
    f'{seed},{slot},COMPLETE,,0.1,0.{slot},0.1,0.1,1.0,"{{""lr"": {0.01 * (slot + 1)}}}"\n'
    for seed in (0, 1)
    for slot in range(10)
)


def counts(bin_number: int) -> list[int]:
    return [100 if number == bin_number else 0 for number in range(BINS)]


def fill(shelf: Shelf) -> None:
    shelf.references(0, 1)
    for seed in (0, 1):
        shelf.add(seed=seed, RetDev=0.1 + seed, metrics_key=f"{seed}" * 64)
        shelf.histogram(retain=counts(0), forget=counts(3), val=counts(9), test=counts(20))
        shelf.add(seed=seed, method="msg", method_title="MSG", Indisc=0.5)
        shelf.add(seed=seed, method="ct", method_title="CT", usable=False, reason="broken", RetDev=None, RTE=None)
    shelf.rows.pop()
    shelf.searched(TRIALS, method="kde", method_title="KDE", seed=0)


def drawn(shelf: Shelf) -> dict[str, Picture]:
    found = records.collect(shelf.root)
    return {picture.name: picture for picture in figures.draw(found, rankings(found.rows, found.cases))}


def text_of(picture: Picture) -> str:
    return " ".join(ET.fromstring(picture.svg).itertext())


@pytest.mark.slow
def test_every_figure_is_drawn_and_readable(shelf: Shelf) -> None:
    fill(shelf)
    pictures = drawn(shelf)
    kinds = {"groups-retdev", "groups-indisc", "rte-resnet18"}
    own = {"retdev-indisc", "seconds", "losses", "search", "importance"}
    assert set(pictures) == kinds | {f"{kind}-digits-resnet18" for kind in own}
    for picture in pictures.values():
        assert "FT" in text_of(picture) or "KDE" in text_of(picture), picture.name
        with Image.open(io.BytesIO(picture.png)) as image:
            assert image.width > 350 and len(image.convert("RGB").getcolors(1_000_000) or []) > 10
        assert picture.group == ("" if picture.name in kinds else "digits-resnet18")


@pytest.mark.slow
def test_equal_rows_make_equal_files(shelf: Shelf) -> None:
    fill(shelf)
    one, other = drawn(shelf), drawn(shelf)
    assert {name: (picture.svg, picture.png) for name, picture in one.items()} == {
        name: (picture.svg, picture.png) for name, picture in other.items()
    }


@pytest.mark.slow
def test_many_result_sets_are_drawn_by_processes_alike(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        shelf.add(dataset=f"d{number}", cell=f"{number}" * 16, result_set=f"{number}" * 16)
    parallel = drawn(shelf)
    monkeypatch.setattr(figures, "FEW", 100)
    alone = drawn(shelf)
    assert list(parallel) == list(alone) and len(alone) > 10
    assert [picture.svg for picture in parallel.values()] == [picture.svg for picture in alone.values()]


@pytest.mark.slow
def test_clouds_hold_every_usable_model(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[tuple[float, float]]] = {}
    cloud = scores._cloud

    def watching(axes: Axes, own: object, title: str, look: object, hollow: bool) -> None:
        cloud(axes, own, title, look, hollow)  # type: ignore[arg-type]
        small, large = axes.collections[-2:]
        seen[title] = [tuple(point) for point in [*small.get_offsets(), *large.get_offsets()]]

    monkeypatch.setattr(scores, "_cloud", watching)
    fill(shelf)
    drawn(shelf)
    assert seen["FT"] == [(0.1, 0.9), (1.1, 0.9), (pytest.approx(0.6), pytest.approx(0.9))]
    assert "CT" not in seen and {"original", "retrained", "MSG"} <= set(seen)


def test_histograms_are_shares_of_the_samples(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget and test set differ in size; each is drawn as a share, the highest bin of both at full height."""
    heights: list[np.ndarray] = []
    monkeypatch.setattr(scores, "_ridge", lambda axes, line, height, **style: heights.append(height))
    shelf.add()
    shelf.histogram(retain=[], val=[], forget=counts(3), test=[25] * 20 + [0] * (BINS - 20))
    drawn(shelf)
    test, forget = heights
    assert test.argmax() == 0 and test[:20] == pytest.approx(np.full(20, scores.RIDGE / 20))
    assert forget.argmax() == 3 and forget[3] == pytest.approx(scores.RIDGE)


def test_methods_look_the_same_wherever_they_are() -> None:
    shipped = list(method_configs())
    every = looks(shipped)
    assert all(looks([name, "theirs"])[name] == every[name] for name in shipped)
    for one, other in combinations([*shipped, "theirs"], 2):
        a, b = looks([*shipped, "theirs"])[one], looks([*shipped, "theirs"])[other]
        assert (a.colour, a.marker) != (b.colour, b.marker) and (a.colour, a.line) != (b.colour, b.line)


def test_order_is_fixed() -> None:
    assert in_order(["zeta", "msg", "retrained", "alpha", "ft", "original"]) == [
        "original", "retrained", "ft", "msg", "alpha", "zeta",
    ]  # fmt: skip


def test_colours_can_be_told_apart_without_red_or_green() -> None:
    """By lightness and by blue-yellow: what a reader with red-green blindness sees of each pair."""

    def seen(colour: str) -> np.ndarray:
        red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
        yellow = (red + green) / 2
        return np.array([0.5 * yellow + 0.5 * (0.2126 * red + 0.7152 * green + 0.0722 * blue), yellow - blue])

    for one, other in combinations(COLOURS, 2):
        assert np.abs(seen(one) - seen(other)).max() > 0.09, (one, other)


@pytest.mark.slow
def test_text_takes_the_pages_colour(shelf: Shelf) -> None:
    fill(shelf)
    for picture in drawn(shelf).values():
        assert INK in picture.svg
        assert not re.search(r"#000000|#ffffff[^}]*</style", picture.svg), picture.name


@pytest.mark.slow
def test_files_are_written_whole(shelf: Shelf, tmp_path: Path) -> None:
    fill(shelf)
    for picture in drawn(shelf).values():
        picture.write(tmp_path)
        assert (tmp_path / f"{picture.name}.svg").read_text(encoding="utf-8") == picture.svg
        assert (tmp_path / f"{picture.name}.png").read_bytes() == picture.png


@pytest.mark.slow
def test_mean_places_are_drawn_over_several_cells(shelf: Shelf) -> None:
    """FT is first in both cells, GA second; over two cells nothing can be told apart, and the title says so."""
    for number, dataset in enumerate(("digits", "mnist")):
        for seed in (0, 1):
            for name, value in {"ft": 0.1, "ga": 0.5}.items():
                shelf.add(method=name, method_title=name.upper(), seed=seed, RetDev=value, dataset=dataset,
                          dataset_title=dataset, cell=f"{number}" * 16, result_set=f"{number + 5}" * 16)  # fmt: skip
    picture = drawn(shelf)["places-retdev"]
    assert text_of(picture).index("FT") < text_of(picture).index("GA")
    assert "no two can be told apart" in picture.title and "2 cells" in text_of(picture)
