"""The answer of a result set: who stands where, with which values, intervals and failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deepunlearn.analysis.page.result_sets import ResultSet, result_sets
from deepunlearn.analysis.page.summary import Line, Summary, summary
from deepunlearn.analysis.page.tradeoff import trade_off
from deepunlearn.analysis.records import collect

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf

RETDEV = {"msg": 0.02, "ft": 0.2, "ga": 3.0}


def fill(shelf: Shelf, seeds: int) -> None:
    """Three methods that differ by far more than their seeds, and one that fails on its last seed."""
    shelf.references(*range(seeds))
    for seed in range(seeds):
        for method, retdev in RETDEV.items():
            value = retdev * (1 + 0.01 * seed)
            shelf.add(method=method, method_title=method.upper(), seed=seed, RetDev=value, Indisc=0.99 - value / 10)
        last = seed == seeds - 1
        reason = "weights are not finite" if last else None
        shelf.add(method="iu", method_title="IU", seed=seed, RetDev=0.001, usable=not last, reason=reason)


def answer(shelf: Shelf) -> tuple[ResultSet, Summary]:
    records = collect(shelf.root)
    (own,) = result_sets(records)
    return own, summary(own, records.catalogue, {"msg": "Masked Small Gradients", "ft": "FT"})


def by_method(told: Summary) -> dict[str, Line]:
    return {line.method: line for line in told.lines}


def test_the_best_rank_stands_first_and_who_failed_last(shelf: Shelf) -> None:
    fill(shelf, 5)
    own, told = answer(shelf)
    assert [line.method for line in told.lines] == ["msg", "ft", "ga", "iu"]
    ranks = {line.method: [measure.rank for measure in line.measures] for line in told.lines}
    assert ranks["msg"] == ["1", "1"] and ranks["ga"] == ["3", "3"]
    assert own.metrics_ranked == ["RetDev", "Indisc"] and all(heading.ranked for heading in told.headings)
    failed = by_method(told)["iu"]
    assert (failed.state, failed.usable) == ("F", "4/5") and "weights are not finite" in failed.why
    assert 'class="mark hollow"' in failed.measures[0].drawing
    assert [line.method for line in told.references] == ["original", "retrained"]


def test_names_are_spelled_out_where_that_says_more(shelf: Shelf) -> None:
    fill(shelf, 2)
    lines = by_method(answer(shelf)[1])
    assert (lines["msg"].title, lines["msg"].full) == ("MSG", "Masked Small Gradients")
    assert lines["ft"].full == "" and lines["ga"].full == ""


@pytest.mark.parametrize(("seeds", "whiskers"), [(4, 0), (5, 1)])
def test_an_interval_needs_five_seeds_and_every_seed_is_drawn(shelf: Shelf, seeds: int, whiskers: int) -> None:
    fill(shelf, seeds)
    _, told = answer(shelf)
    drawing = by_method(told)["ft"].measures[0].drawing
    assert drawing.count('class="whisker"') == whiskers
    marks = drawing.partition('class="seed" d="')[2].partition('"')[0]
    assert marks.count("M") == seeds
    assert ("no intervals" in told.remarks[0]) == (whiskers == 0)


def test_where_nothing_can_be_ranked_values_stay_and_the_reason_is_said(shelf: Shelf) -> None:
    fill(shelf, 1)
    own, told = answer(shelf)
    assert "not ranked, since 1 seed" in own.trust and own.metrics_ranked == []
    assert all(measure.rank == "" for line in told.lines for measure in line.measures)
    assert by_method(told)["msg"].measures[0].text == "0.020"
    assert [line.method for line in told.lines] == ["msg", "ft", "ga", "iu"], "by RetDev, then"


def test_a_set_in_which_no_method_is_complete_says_so(shelf: Shelf) -> None:
    shelf.references(0, 1)
    shelf.add(seed=0)
    shelf.expect("run1", {"seed": 1})
    own, told = answer(shelf)
    assert own.ranking is None and own.trust.startswith("Not ranked")
    assert by_method(told)["ft"].state == "incomplete"


def test_what_tells_most_comes_first(shelf: Shelf) -> None:
    fill(shelf, 2)
    other = {"cell": "d" * 16, "result_set": "e5" * 8, "dataset": "mnist", "dataset_title": "A dataset"}
    shelf.add(**other)
    shelf.references(0, **{**other, "result_set": None})
    assert [one.labels.dataset for one in result_sets(collect(shelf.root))] == ["Digits", "A dataset"]


def test_the_plot_has_every_method_with_both_values(shelf: Shelf) -> None:
    fill(shelf, 2)
    own, told = answer(shelf)
    plot = trade_off(own, told.scales)
    assert plot is not None
    kinds = {mark.method: mark.kind for mark in plot.marks}
    assert kinds == {
        "msg": "method", "ft": "method", "ga": "method", "iu": "failed", "original": "reference",
        "retrained": "reference",
    }  # fmt: skip
    places = {mark.method: (mark.x, mark.y) for mark in plot.marks}
    assert places["msg"][0] < places["ft"][0] < places["ga"][0], "better is further left"
    assert places["msg"][1] < places["ft"][1] < places["ga"][1], "and further up"


def test_another_metric_stands_in_the_place_of_one_that_is_not_defined(shelf: Shelf) -> None:
    shelf.references(0, 1)
    for seed in (0, 1):
        shelf.add(seed=seed, RetDev=None, FR=None, reason="RetDev undefined: FA of the retrained model is 0")
    own, told = answer(shelf)
    assert [heading.name for heading in told.headings] == ["gap", "Indisc"]
    plot = trade_off(own, told.scales)
    assert plot is not None and plot.x_title == "gap"
    assert "undefined" in by_method(told)["ft"].why


def test_without_a_defined_value_there_is_no_plot_but_a_line(shelf: Shelf) -> None:
    shelf.references(0, 1)
    for seed in (0, 1):
        shelf.add(seed=seed, **dict.fromkeys(("MIA", "Disc", "Indisc", "MIA_AUC", "Disc_AUC")))
    own, told = answer(shelf)
    assert trade_off(own, told.scales) is None
    assert [measure.text for measure in by_method(told)["ft"].measures] == ["0.000", "n/a"]
