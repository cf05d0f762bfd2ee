"""Figures: which are drawn, that methods look the same in all of them, and that they show what the rows say."""

from __future__ import annotations

import io
import math
import re
import xml.etree.ElementTree as ET
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from deepunlearn.analysis import figures, records, tables
from deepunlearn.analysis.figures import labels, over_cells, rounds, scores, search, sizes, style, trade_off
from deepunlearn.analysis.figures.style import (
    COLOURS,
    FORMATS,
    INK,
    WIDTHS,
    Picture,
    Sheet,
    Subject,
    captions,
    in_order,
    looks,
    plain,
)
from deepunlearn.analysis.ranking import rankings
from deepunlearn.analysis.search_spread import completed
from deepunlearn.config import method_configs
from deepunlearn.metrics.histograms import LOSS_EDGES
from tests.analysis import test_rounds

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
        assert picture.file.startswith(b"%PDF") and picture.suffix == ".pdf"
        assert picture.group == ("" if picture.name in kinds else "digits-resnet18")


@pytest.mark.slow
def test_equal_rows_make_equal_files(shelf: Shelf) -> None:
    fill(shelf)
    one, other = drawn(shelf), drawn(shelf)
    assert one == other


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
def test_marks_hold_every_usable_model(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds: themselves and their means, no interval."""
    seen: list[list[tuple[float, float]]] = []
    mark = trade_off._mark

    def watching(axes: Axes, values: np.ndarray, look: object, hollow: bool) -> None:
        mark(axes, values, look, hollow)  # type: ignore[arg-type]
        assert not axes.lines
        small, large = axes.collections[-2:]
        seen.append([tuple(point) for point in [*small.get_offsets(), *large.get_offsets()]])

    monkeypatch.setattr(trade_off, "_mark", watching)
    fill(shelf)
    text = text_of(drawn(shelf)["retdev-indisc-digits-resnet18"])
    assert [(0.1, 0.9), (1.1, 0.9), (pytest.approx(0.6), pytest.approx(0.9))] in seen
    assert len(seen) == 5 and all(title in text for title in ("FT", "original", "retrained", "MSG"))
    assert "no usable model: CT: F, 0 of 2" in text


def unlike(shelf: Shelf) -> figures.Drawing:
    """FT is fine; of CT every model failed, and of GA one; EU-k was not run on a seed; BT cannot be applied."""
    shelf.references(0, 1)
    for seed in (0, 1):
        shelf.add(seed=seed)
        shelf.fail(method="ct", seed=seed)
    shelf.add(method="ga", method_title="GA", RTE=9.0)
    shelf.fail(method="ga", seed=1)
    shelf.add(method="euk", method_title="EU-k")
    shelf.fail(method="bt", kind="not_applicable")
    others = [{"method": name, "seed": seed} for name in ("ct", "bt") for seed in (0, 1)]
    shelf.expect("run1", *others, {"method": "ga", "seed": 1}, {"method": "euk", "seed": 1})
    (own,) = figures._result_sets(records.collect(shelf.root))
    return own


def test_methods_say_whether_they_failed_or_were_not_run(shelf: Shelf) -> None:
    own = unlike(shelf)
    told = {"bt": "bt: n/a", "ct": "ct: F, 0 of 2", "euk": "EU-k: incomplete, 1 of 2", "ga": "GA: F, 1 of 2"}
    assert scores.labels_of(own.lines) == told
    pictures = scores.score_figures(own.rows, own.lines, own.losses, Sheet(), Subject("", "s", "S"))
    for picture in pictures:
        assert all(label in text_of(picture) for label in told.values()), picture.name
        assert "hollow: not every model is usable" in picture.title
    found = records.collect(shelf.root)
    (part,) = over_cells.rte_parts(found.rows, found.cases)
    text = text_of(over_cells._rte(part, Sheet()))
    assert "GA: F, 1 of 2" in text and "EU-k: incomplete, 1 of 2" in text and "FT:" not in text


def test_figures_have_the_names_of_their_tables(shelf: Shelf) -> None:
    """Of a second result set nothing was run yet."""
    shelf.references(0)
    shelf.add()
    shelf.expect("run1", {"cell": "d" * 16, "result_set": "b" * 16})
    found = records.collect(shelf.root)
    own = f"digits-resnet18-{shelf.rows[-1]['result_set'][:8]}"
    assert [one.name for one in figures._result_sets(found)] == [own]
    assert own in {table.group for table in tables.build(found, [])}


def scored(values: list[float], method: str = "ft", title: str = "FT") -> pd.DataFrame:
    lines = [
        {"method": method, "method_title": title, "seed": seed, "RetDev": value, "Indisc": 1 - value / 10}
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(lines)


def test_means_have_intervals_where_there_are_five_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1, 2, 3, 4, 5: 3 ± 2.776 x sd 1.581 / sqrt 5."""
    lines: list[list[float]] = []
    plot = Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda self, *data, **style: (lines.append(list(data[0])), plot(self, *data, **style))[1]
    )
    picture = trade_off.trade_off(scored([1, 2, 3, 4, 5.0]), {}, Sheet(), Subject("", "s", "S"))
    assert [pytest.approx(3 - 1.963, abs=1e-3), pytest.approx(3 + 1.963, abs=1e-3)] in lines
    assert "95 % intervals" in picture.title and "small marks" not in picture.title
    both = pd.concat([scored([1, 2, 3, 4, 5.0]), scored([1, 2.0], "ga", "GA")])
    told = trade_off.trade_off(both, {"ga": "GA: F, 2 of 5"}, Sheet(), Subject("", "s", "S")).title
    assert "95 % intervals" in told and "small marks are seeds (of methods with fewer than 5" in told


@pytest.mark.parametrize(
    ("means", "linear_to"),
    [([0.2, 0.5], math.inf), ([0.01, 0.02, 0.9], 0.01), ([0.0, 0.0], math.inf), ([1e-9, 0.5, 2.0], 0.001)],
)
def test_the_axis_is_logarithmic_where_means_span_ten_times(means: list[float], linear_to: float) -> None:
    assert trade_off.scale_of(np.array(means), max(means)).linear_to == pytest.approx(linear_to)


NAMES = [
    "FT",
    "GA",
    "SCRUB",
    "SalUn",
    "PRMQ",
    "NG+",
    "original",
    "retrained",
    "CF-k",
    "EU-k",
    "LF",
    "MSG",
    "KDE: F, 8 of 10",
]


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_labels_touch_neither_each_other_nor_marks(width: float) -> None:
    """A dozen methods where good ones lie together, at both widths."""
    generator = np.random.default_rng(0)
    rows = pd.concat(
        scored(list(0.05 * np.exp(0.4 * generator.normal(size=2)) + 0.01), name, name) for name in NAMES
    ).assign(Indisc=lambda rows: 0.97 + 0.01 * generator.normal(size=len(rows)))
    boxes, marks = [], []
    place = labels.place

    def watching(scene: labels.Scene, sizes: np.ndarray) -> labels.Places:
        places = place(scene, sizes)
        boxes.extend(zip(places.centres - sizes / 2, places.centres + sizes / 2, strict=True))
        marks.extend(scene.marks)
        low, high = scene.frame
        assert all((low <= start).all() and (end <= high).all() for start, end in boxes), "inside the axes"
        return places

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "place", watching)
        trade_off.trade_off(rows, {}, Sheet(width), Subject("", "s", "S"))
    assert len(boxes) == len(NAMES)
    for (start, end), (other_start, other_end) in combinations(boxes, 2):
        assert ((start >= other_end) | (other_start >= end)).any()
    for (start, end), mark in product(boxes, marks):
        assert ((mark <= start) | (mark >= end)).any()


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_text_is_at_least_seven_points_and_inside_its_figure(
    shelf: Shelf, width: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Text] = []

    def watching(figure: Any, *rest: Any) -> bytes:
        figure.draw_without_rendering()
        renderer, page = FigureCanvasAgg(figure).get_renderer(), figure.bbox
        assert figure.get_figwidth() == width
        seen.extend(text for text in figure.findobj(Text) if text.get_text())
        for axes in figure.axes:
            box = axes.get_tightbbox(renderer)  # with all that is written in and around it
            assert box.x0 > -1 and box.x1 < page.width + 1 and box.y0 > -1 and box.y1 < page.height + 1, rest
        return b""

    monkeypatch.setattr(style, "_png", watching)
    fill(shelf)
    shelf.add(method="ga", method_title="GA: a long name ‡", RTE=1234.0, seconds=1234.0)
    found = records.collect(shelf.root)
    figures.draw(found, rankings(found.rows, found.cases), Sheet(width, "png"))
    assert len(seen) > 60 and all(text.get_fontsize() >= 7 for text in seen)


@pytest.mark.slow
def test_files_have_the_format_and_the_fonts(shelf: Shelf) -> None:
    """A PDF has its fonts as TrueType (Type 42); an SVG for a paper has shapes, that of the page text."""
    for seed in (0, 1):
        shelf.add(seed=seed)
    found = records.collect(shelf.root)
    made = {name: figures.draw(found, [], Sheet(WIDTHS[1], name))[-1] for name in FORMATS}
    assert b"/FontFile2" in made["pdf"].file and b"/Type3" not in made["pdf"].file
    assert b"/MediaBox [ 0 0 489.6 " in made["pdf"].file
    assert b"<text" not in made["svg"].file and "<text" in made["svg"].svg
    with Image.open(io.BytesIO(made["png"].file)) as image:
        assert image.width == pytest.approx(6.8 * 300, abs=1)
    assert {name: picture.suffix for name, picture in made.items()} == {name: f".{name}" for name in FORMATS}


@pytest.mark.slow
def test_groups_are_in_order_of_ranks_and_shaded_by_shares(shelf: Shelf) -> None:
    """GA is best and certainly so; CT and FT change places between seeds."""
    for seed in range(6):
        for name, value in {"ga": 0.01, "ft": 0.5 + 0.1 * (seed % 2), "ct": 0.7 - 0.1 * (seed % 2), "bt": 3.0}.items():
            shelf.add(method=name, method_title=name.upper(), seed=seed, RetDev=value + 0.001 * seed)
    found = records.collect(shelf.root)
    ranking = next(one for one in rankings(found.rows, found.cases) if one.scope == "all cells")
    order = over_cells.by_rank(ranking, "RetDev")
    assert order[0] == "ga" and order[-1] == "bt"
    shades = dict(zip(order, over_cells.shades_of(ranking, "RetDev", order)[:, 0], strict=True))
    assert shades["ga"] == 0 < shades["ft"] < shades["bt"] and shades["bt"] == pytest.approx(2)


def test_shades_stay_apart_without_colour() -> None:
    """Of G1, G2, G3 and F, printed in grey, the next is always lighter; letters can be read on each."""
    red, green, blue, _ = np.array([over_cells.SHADES(group / 3) for group in range(4)]).T
    grey = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert (np.diff(grey) > 0.08).all()
    assert grey[0] < 0.4 and grey[2] > 0.6


@pytest.mark.slow
def test_times_are_sorted_and_failed_methods_last(shelf: Shelf) -> None:
    for name, seconds in {"ft": 3.0, "ct": 1.0, "ga": 2.0, "bt": 0.5}.items():
        for seed in (0, 1):
            usable = name != "bt" or seed == 0
            shelf.add(method=name, method_title=name.upper(), seconds=seconds, seed=seed, usable=usable)
    text = text_of(drawn(shelf)["seconds-digits-resnet18"])
    places = [text.index(name) for name in ("CT", "GA", "FT", "BT: F, 1 of 2")]
    assert places == sorted(places)


def test_searches_are_small_multiples_with_the_same_axes(shelf: Shelf) -> None:
    zero = {"seed": 0, "state": "COMPLETE", "retain": 0.0, "forget": 0.0, "val": 0.0}
    best = {"ft": 0.1, "ga": 0.9}
    done = completed(
        pd.DataFrame(
            [{**zero, "method": name, "slot": slot, "mia": mia} for name, mia in best.items() for slot in (0, 1)]
        )
    )
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "finish", lambda figure, *rest: seen.append(figure))
        search._history(done, {"ft": "FT", "ga": "GA"}, Sheet(), Subject("", "s", "S"), "")
    one, other = seen[0].axes
    assert (one.get_title(loc="left"), other.get_title(loc="left")) == ("FT", "GA")
    assert one.get_ylim() == other.get_ylim() and one.get_ylim()[0] == 0 and one.get_ylim()[1] > 0.9


def test_captions_say_what_is_drawn_and_of_what() -> None:
    one = Picture("seconds-x", "X: wall time", "seeds: 0-1.", "x", "", b"", ".pdf")
    assert "## seconds-x\n\nX: wall time. seeds: 0-1.\n" in captions([one])


def test_numbers_of_axes_are_plain() -> None:
    told = [plain(value) for value in (0.25, 12.345, 1234.5, 1e-4, 3e-6, 1.0)]
    assert told == ["0.25", "12.3", "1,234", "10⁻⁴", "3·10⁻⁶", "1"]


@pytest.mark.slow
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
        assert (tmp_path / f"{picture.name}.pdf").read_bytes() == picture.file


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


# ------------------------------------------------------------------------------------------------- sizes of forget sets

SIZES = {0.05: 50, 0.2: 200}


def of_sizes(shelf: Shelf, seeds: int, titles: tuple[str, ...] = ("random 5 %", "random 20 %"), **changes: Any) -> None:
    """Two methods at two sizes: FT's RetDev is the ratio plus a hundredth of the seed."""
    for number, (ratio, size) in enumerate(SIZES.items()):
        split = {"cell": f"{number}" * 16, "forget_ratio": ratio, "n_forget": size, "forget_title": titles[number]}
        for seed in range(seeds):
            for method in ("original", "retrained"):
                shelf.add(method=method, method_title=method, seed=seed, **split)
            own = {**split, "result_set": f"{number + 2}" * 16, "seed": seed, **changes}
            shelf.add(RetDev=ratio + seed / 100, **own)
            shelf.add(method="ga", method_title="GA", RetDev=1.0, **own)


def panels_of(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    kept: list[Axes] = []
    monkeypatch.setattr(sizes, "finish", lambda figure, *rest: kept.extend(figure.axes))
    found = records.collect(shelf.root)
    list(sizes.size_figures(found.rows, found.cases, style.PAGE))
    return [axes for axes in kept if axes.get_title("left") not in ("by RetDev", "by gap", "by Indisc")]


def lines_of(axes: Axes, method: str) -> list[np.ndarray]:
    """[points, (x, y)] of the lines in the colour of a method, those of the key left out."""
    colour = looks([method])[method].colour
    lines = [
        np.column_stack([*line.get_data()]).astype(float) for line in axes.get_lines() if line.get_color() == colour
    ]
    return [line for line in lines if len(line)]


def test_scores_are_drawn_against_the_size_of_the_forget_set(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    of_sizes(shelf, seeds=5)
    retdev = panels_of(shelf, monkeypatch)[0]
    means, *intervals = lines_of(retdev, "ft")
    assert np.allclose(means[:, 0], list(SIZES.values()), rtol=0.1)
    assert np.allclose(means[:, 1], [0.07, 0.22]), "the mean over seeds 0 to 4 is the ratio and two hundredths"
    half = 2.7764451 * np.std([0, 0.01, 0.02, 0.03, 0.04], ddof=1) / 5**0.5  # t with 4 degrees of freedom
    assert np.allclose([bar[:, 1] for bar in intervals], [[0.07 - half, 0.07 + half], [0.22 - half, 0.22 + half]])
    assert np.allclose(lines_of(retdev, "ga")[0][:, 1], 1.0)


@pytest.mark.slow
def test_with_few_seeds_the_seeds_are_shown_and_no_interval(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    of_sizes(shelf, seeds=2)
    assert "dots single seeds" in drawn(shelf)["sizes-digits-resnet18"].title
    retdev = panels_of(shelf, monkeypatch)[0]
    assert len(lines_of(retdev, "ft")) == 1 and len(retdev.collections) == 2 * 4, "two sizes of four methods"


@pytest.mark.slow
def test_models_that_are_not_usable_are_named_and_not_averaged(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    of_sizes(shelf, seeds=5)
    shelf.add(cell="0" * 16, result_set="2" * 16, seed=5, n_forget=50, forget_ratio=0.05, forget_title="random 5 %",
              RetDev=9.0, usable=False, reason="broken")  # fmt: skip
    assert "not drawn: FT at 50 (1)" in drawn(shelf)["sizes-digits-resnet18"].title
    assert np.allclose(lines_of(panels_of(shelf, monkeypatch)[0], "ft")[0][:, 1], [0.07, 0.22])


@pytest.mark.slow
def test_methods_and_sizes_are_places_and_failures(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """FT is first at both sizes; GA failed at 200."""
    of_sizes(shelf, seeds=5)
    shelf.add(cell="1" * 16, result_set="3" * 16, seed=5, n_forget=200, forget_ratio=0.2, forget_title="random 20 %",
              method="ga", method_title="GA", RetDev=1.0, usable=False, reason="broken")  # fmt: skip
    kept: list[Axes] = []
    monkeypatch.setattr(sizes, "finish", lambda figure, *rest: kept.extend(figure.axes))
    found = records.collect(shelf.root)
    list(sizes.size_figures(found.rows, found.cases, style.PAGE))
    told = {(text.get_position()[0] - 0.5, text.get_position()[1] - 0.5): text.get_text() for text in kept[0].texts}
    assert [label.get_text() for label in kept[0].get_yticklabels()] == ["FT", "GA"]
    assert {place: told[place] for place in [(0, 0), (1, 0), (0, 1), (1, 1)]} == {
        (0, 0): "1", (1, 0): "–", (0, 1): "2", (1, 1): "F"
    }, "seed 5 is FT's as well, and was not run"  # fmt: skip


def test_sizes_without_any_score_have_no_figure_of_scores(shelf: Shelf) -> None:
    """Of a given original without recipe nothing is retrained, and of a few samples there is no attack."""
    nothing = dict.fromkeys(("gap", "Indisc", "RTE"))
    for number, size in enumerate((1, 5)):
        split = {"cell": f"{number}" * 16, "n_forget": size, "forget_title": f"{size} random samples"}
        shelf.add(result_set=f"{number + 2}" * 16, RetDev=None, **split, **nothing)
    found = records.collect(shelf.root)
    names = [one.name for one in sizes.size_figures(found.rows, found.cases, style.PAGE)]
    assert names == ["sizes-choice-digits-resnet18"]


# ----------------------------------------------------------------------------------------- requests one after the other


@pytest.mark.slow
def test_rounds_are_drawn_with_the_seconds_up_to_each(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """FT takes 3 s each time, retraining 8, 7 and 6; CT is dearer than retraining each time from round 2 on."""
    test_rounds.fill(shelf)
    kept: dict[str, list[Axes]] = {}
    monkeypatch.setattr(rounds, "finish", lambda figure, sheet, name, *rest: kept.update({name: figure.axes}))
    found = records.collect(shelf.root)
    list(rounds.round_figures(found.rows, found.cases, style.PAGE))
    assert list(kept) == [f"rounds-{name}-digits-resnet18" for name in ("scores", "requests", "seconds")]
    (seconds,) = kept["rounds-seconds-digits-resnet18"]
    assert np.allclose(lines_of(seconds, "ft")[0], [[1, 3], [2, 6], [3, 9]])
    drawn_lines = [np.column_stack([*line.get_data()]).astype(float) for line in seconds.get_lines()]
    for expected in ([[1, 8], [2, 15], [3, 21]], [[1, 8], [2, 7], [3, 6]], [[2, 16.4]]):
        assert any(one.shape == np.shape(expected) and np.allclose(one, expected) for one in drawn_lines), expected
    earlier = next(axes for axes in kept["rounds-requests-digits-resnet18"] if "FA_earlier" in axes.get_title("left"))
    assert np.allclose(lines_of(earlier, "ft")[0][:, 1], [0.8, 0.915]), "of the first round there is none"
