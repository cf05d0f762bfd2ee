"""Tables and figures say what the rows say: each test is a case in which they once said something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from deepunlearn import report
from deepunlearn.analysis import figures
from deepunlearn.analysis.figures import search, trade_off
from deepunlearn.analysis.figures.search import best_so_far
from deepunlearn.analysis.figures.style import Picture, Sheet, Subject
from deepunlearn.analysis.rank import group
from deepunlearn.analysis.ranking import Ranking, rankings
from deepunlearn.analysis.records import collect
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.search_spread import completed
from deepunlearn.analysis.tables import build
from deepunlearn.cli import run_main
from tests.analysis.test_search_spread import trials

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf

DIGITS = {"cell": "1" * 16, "result_set": "5" * 16}
MNIST = {"dataset": "mnist", "dataset_title": "MNIST", "cell": "2" * 16, "result_set": "6" * 16}


def ranked(shelf: Shelf) -> dict[str, Ranking]:
    found = collect(shelf.root)
    return {one.name: one for one in rankings(found.rows, found.cases)}


def tables_of(shelf: Shelf) -> dict[str, Table]:
    found = collect(shelf.root)
    return {table.name: table for table in build(found, rankings(found.rows, found.cases))}


def fine(shelf: Shelf, place: dict[str, Any], values: dict[str, float], seeds: int = 2, **more: Any) -> None:
    for method, value in values.items():
        for seed in range(seeds):
            own = {"RetDev": value + 0.001 * seed, "Indisc": 1 - value / 2, **more}
            shelf.add(method=method, method_title=method.upper(), seed=seed, **own, **place)


def failing(shelf: Shelf, place: dict[str, Any], *methods: str, kind: str = "failed", run: str = "run1") -> None:
    ids = {name: place[name] for name in place if name != "dataset_title"}
    asked = [{**ids, "method": method, "seed": seed} for method in methods for seed in (0, 1)]
    shelf.expect(run, *asked)
    for line in asked:
        shelf.fail(**{**line, "kind": kind})


def test_a_method_has_one_title_wherever_it_failed(shelf: Shelf) -> None:
    fine(shelf, DIGITS, {"ft": 0.1, "ga": 0.5})
    fine(shelf, MNIST, {"ft": 0.1})
    failing(shelf, MNIST, "ga")
    reliability = tables_of(shelf)["reliability"].shown.set_index("method")
    assert reliability.index.tolist() == ["FT", "GA"]
    assert reliability.loc["GA", ["usable models", "failed in"]].tolist() == ["2/4", "1 of 2"]


def test_a_cell_in_which_every_method_failed_counts_for_all(shelf: Shelf) -> None:
    fine(shelf, DIGITS, {"ft": 0.1, "ga": 0.5, "ct": 0.9})
    failing(shelf, MNIST, "ft", "ga", "ct")
    counts = ranked(shelf)["ranking"].counts("RetDev")
    assert counts.loc["ft"].tolist() == [1, 0, 0, 1] and counts["F"].tolist() == [1, 1, 1]


@pytest.mark.slow
def test_undefined_is_neither_failed_nor_ranked(shelf: Shelf) -> None:
    why = "RetDev undefined: the retrained model's accuracy is 0 on forget"
    fine(shelf, DIGITS, {"ft": 0.1, "ga": 0.5, "ct": 0.9})
    fine(shelf, MNIST, {"ft": 0.1, "ga": 0.5, "ct": 0.9})
    for made in [one for one in shelf.rows if one["dataset"] == "mnist"]:
        shelf.add(**{**made, "RetDev": None, "FR": None, "reason": why, "date": "2026-02-02T03:04:05+00:00"})
    ranking = ranked(shelf)["ranking"]
    assert ranking.counts("RetDev")["F"].tolist() == [0, 0, 0]
    assert set(ranking.groups["RetDev"]["MNIST ResNet18"]) == {"undefined"}
    assert ranking.ranks["RetDev"].to_dict() == {"ft": 1, "ga": 2, "ct": 3}
    assert why in ranking.left_out and ranking.groups["Indisc"].shape[1] == 2
    scored = tables_of(shelf)["mnist-resnet18"].shown.set_index("method")
    assert scored.loc["FT", "RetDev ↓ (best 0)"] == "undefined" and why in scored.loc["FT", "why"]


CLASS = {"forget_kind": "classes", "forget_title": "class 3", "TA_retained": 0.9, "TA_forgotten": 0.1}
WHOLE = "RetDev undefined: class 3 forgotten whole, which the retrained model does not know"


def forgotten_whole(shelf: Shelf, place: dict[str, Any], values: dict[str, float]) -> None:
    """Models without RetDev, whose gap is half of `values`, beside their references."""
    bare = {"RetDev": None, "FR": None, "reason": WHOLE, **CLASS, **place}
    for name in ("original", "retrained"):
        shelf.add(method=name, method_title=name, **{**bare, "result_set": None})
    for method, value in values.items():
        for seed in (0, 1):
            own = {"gap": value / 2 + 0.001 * seed, "ToW": 1 - value, "Indisc": 1 - value / 2}
            shelf.add(method=method, method_title=method.upper(), seed=seed, **own, **bare)


def test_where_retdev_is_not_defined_in_any_cell_gap_ranks(shelf: Shelf) -> None:
    forgotten_whole(shelf, DIGITS, {"ft": 0.5, "ga": 0.1, "ct": 0.9})
    (ranking,) = ranked(shelf).values()
    assert ranking.metrics == ("gap", "Indisc") and ranking.ranks["RetDev"].empty
    assert ranking.ranks["gap"].to_dict() == {"ga": 1, "ft": 2, "ct": 3}
    assert ranking.counts("gap")["F"].tolist() == [0, 0, 0]
    why = WHOLE.removeprefix("RetDev undefined: ")
    told = f"Ranked by gap in place of RetDev, which is not defined in any cell here ({why}). "
    assert ranking.trust.startswith(told)
    made = tables_of(shelf)
    shown = made["ranking"].shown.set_index("method")
    assert shown["gap rank"].tolist() == ["1", "2", "3"] and not any("RetDev" in name for name in shown)
    assert made["ranking"].caption.startswith(told) and "forget set: class 3;" in made["ranking"].caption
    assert set(made["choices"].data["choice"]) >= {"as it is", "ToW in its place"}
    scored = made["digits-resnet18"]
    line = scored.shown.set_index("method").loc["GA"]
    assert line["RetDev ↓ (best 0)"] == line["FR (ideal 1)"] == "undefined" and line["status"] == ""
    assert line["TR (ideal 1)"].startswith("1.000") and WHOLE in line["why"]
    assert line["TA_retained"].startswith("0.900") and line["TA_forgotten"].startswith("0.100")
    assert "TR, gap, ToW and usable take TA_retained" in scored.caption
    assert scored.title == "Digits, ResNet18, class 3: unlearning scores"


def test_forget_sets_whose_names_are_alike_in_letters_and_digits_have_their_own_files(shelf: Shelf) -> None:
    titles = ("person Möller", "person Müller", "person 3")
    for number, title in enumerate(titles):
        place = {"cell": f"{number}" * 16, "result_set": f"{number + 5}" * 16, "forget_title": title}
        for seed in (0, 1):
            shelf.add(seed=seed, **place)
    scopes = {one.scope: one.name for one in ranked(shelf).values() if one.scope.startswith("forgotten")}
    names = ("ranking-forget-person-m-ller-1", "ranking-forget-person-m-ller-2", "ranking-forget-person-3")
    assert scopes == {f"forgotten: {title}": name for title, name in zip(titles, names, strict=True)}


def test_in_a_paper_gap_stands_where_retdev_is_not_defined(shelf: Shelf) -> None:
    forgotten_whole(shelf, DIGITS, {"ft": 0.5, "ga": 0.1})
    paper = tables_of(shelf)["digits-resnet18"].paper
    assert paper is not None and [name.split(" ")[0] for name in paper] == ["Method", "gap", "Indisc", "RTE"]
    shelf.expect("run1", {"method": "ct", "seed": 0, **DIGITS})
    shelf.fail(method="ct", **DIGITS)
    failed = tables_of(shelf)["digits-resnet18"].paper
    assert failed is not None and list(failed) == list(paper), "a method that failed has no RetDev, which says nothing"


@pytest.mark.slow
def test_cells_of_several_forget_sets_are_told_apart_and_ranked_each(shelf: Shelf) -> None:
    """Over all cells RetDev ranks where it is defined; the class's own ranking goes by gap."""
    fine(shelf, DIGITS, {"ft": 0.1, "ga": 0.5, "ct": 0.9})
    forgotten_whole(shelf, {"cell": "2" * 16, "result_set": "6" * 16}, {"ft": 0.5, "ga": 0.1, "ct": 0.9})
    made = ranked(shelf)
    assert set(made) == {"ranking", "ranking-forget-class-3", "ranking-forget-random-10"}
    assert list(made["ranking"].groups["Indisc"]) == ["Digits ResNet18 class 3", "Digits ResNet18 random 10 %"]
    assert made["ranking"].metrics == ("RetDev", "Indisc") and WHOLE in made["ranking"].left_out
    assert made["ranking-forget-class-3"].metrics == ("gap", "Indisc")
    assert made["ranking-forget-class-3"].scope == "forgotten: class 3"
    scores = [table for table in tables_of(shelf).values() if table.name.startswith("digits-resnet18")]
    assert [table.title for table in scores] == [
        "Digits, ResNet18, random 10 %: unlearning scores", "Digits, ResNet18, class 3: unlearning scores",
    ]  # fmt: skip
    random, class_ = scores
    assert "TA_retained" not in random.shown and "TA_retained" in class_.shown
    compared = [table.name for table in build(collect(shelf.root), list(made.values()), compare="paper")]
    assert [name for name in compared if name.startswith("paper-")] == ["paper-forget-random-10"]


@pytest.mark.slow
def test_distances_are_told_by_forget_set(shelf: Shelf) -> None:
    """A mean over forget sets is of nothing."""
    for title, far in {"class 3": 0.2, "class 4": 0.4}.items():
        place = {"cell": f"{title[-1]}" * 16, "result_set": f"{title[-1]}" * 16, "forget_title": title}
        shelf.add(method="ft", method_title="FT", L2_retrained_rel=far, **{**DIGITS, **place})
    shown = tables_of(shelf)["distances"].shown
    assert shown[["forget set", "to retrained"]].to_numpy().tolist() == [["class 3", "0.2"], ["class 4", "0.4"]]


@pytest.mark.slow
def test_an_attack_on_too_few_is_said_and_has_no_floor(shelf: Shelf) -> None:
    why = "attack n/a: 4 samples of the test part match the forgotten ones, and it needs 10"
    none = dict.fromkeys(("MIA", "Disc", "Indisc", "MIA_AUC", "Disc_AUC", "MIA_understated"))
    for method, value in {"ft": 0.1, "ga": 0.5, "ct": 0.9}.items():
        for seed in (0, 1):
            own = {"RetDev": value + 0.001 * seed, "reason": why, "n_unseen_test": 4, **none}
            shelf.add(method=method, method_title=method.upper(), seed=seed, forget_title="2 persons", **own, **DIGITS)
    made = tables_of(shelf)
    shown = made["digits-resnet18"].shown.set_index("method")
    assert shown.loc["FT", "Indisc ↑ (best 1)"] == "n/a" and why in shown.loc["FT", "why"]
    assert shown.loc["FT", "status"] == "" and shown.loc["FT", "RetDev ↓ (best 0)"].startswith("0.101")
    assert shown.loc["no difference", "why"] == "the attack has too few samples"
    ranking = ranked(shelf)["ranking"]
    assert ranking.ranks["RetDev"].to_dict() == {"ft": 1, "ga": 2, "ct": 3} and ranking.ranks["Indisc"].empty
    assert run_main(report.main, [f"results={shelf.root}"]) == 0
    page = (shelf.root / "index.html").read_text(encoding="utf-8")
    assert "2 persons" in page and "Where nothing differs" not in page


def test_the_floor_is_that_of_the_samples_that_the_attack_looks_at(shelf: Shelf) -> None:
    shelf.add(n_unseen_test=30, n_forget=122, **DIGITS)
    table = tables_of(shelf)["digits-resnet18"]
    told = table.shown.set_index("method").loc["no difference", "why"]
    assert told == "30 samples on each side; of Disc_AUC 122 and 30"
    assert "compares the forgotten samples with the 30 of 360 test samples like them." in table.caption


def test_searches_without_attack_are_said_to_be(shelf: Shelf) -> None:
    line = '0,{slot},COMPLETE,,0.3,0.4,0,{mia},1.0,"{{}}"\n'
    shelf.searched(line.format(slot=0, mia="") + line.format(slot=1, mia=""), **DIGITS)
    made = tables_of(shelf)["hyper-parameters"]
    assert "The norm is of three losses, without the attack, for which too few samples match." in made.caption
    assert made.data["norm_by_seed"].tolist() == ["0.500"]


def test_captions_say_how_unseen_samples_were_matched(shelf: Shelf) -> None:
    said = "test part: matched by class, since it has no picture of these persons"
    shelf.add(forget_remarks=said, **DIGITS)
    assert f"the attack's unseen samples: {said};" in tables_of(shelf)["digits-resnet18"].caption


@pytest.mark.slow
def test_not_applicable_is_no_failure(shelf: Shelf) -> None:
    fine(shelf, DIGITS, {"ft": 0.1, "ga": 0.5, "ct": 0.9, "bt": 0.3})
    fine(shelf, MNIST, {"ft": 0.1, "ga": 0.5, "ct": 0.9})
    failing(shelf, MNIST, "bt", kind="not_applicable")
    ranking = ranked(shelf)["ranking"]
    assert ranking.groups["RetDev"].loc["bt", "MNIST ResNet18"] == "n/a"
    assert "bt" not in ranking.ranks["RetDev"] and "not applicable in MNIST ResNet18" in ranking.left_out
    made = tables_of(shelf)
    line = made["mnist-resnet18"].shown.set_index("method").loc["BT"]
    assert line["status"] == "n/a" and "not applicable" in line["why"]
    assert made["reliability"].shown.set_index("method").loc["BT", "failed in"] == "0 of 2"


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{"trials": 200}, {"protocol": "heldout"}, {"cell": "3" * 16, "train_epochs": 91}], ids=str
)
def test_rte_of_unlike_results_is_not_averaged(shelf: Shelf, change: dict[str, Any]) -> None:
    for seed in (0, 1):
        shelf.add(seed=seed, RTE=4.0)
        shelf.add(seed=seed, RTE=40.0, result_set="7" * 16, **change)
    made = [table for name, table in tables_of(shelf).items() if name.startswith("rte-")]
    shown = " ".join(table.shown.to_string() for table in made)
    assert "4.00" in shown and "40.00" in shown and "22.00" not in shown


@pytest.mark.slow
def test_rte_has_an_average_over_the_datasets_of_one_way_of_choosing(shelf: Shelf) -> None:
    fine(shelf, DIGITS, {"ft": 0.1, "ga": 0.5}, RTE=4.0)
    fine(shelf, MNIST, {"ft": 0.1}, RTE=6.0)
    failing(shelf, MNIST, "ga")
    shown = tables_of(shelf)["rte-resnet18"].shown.set_index("method")
    assert shown.loc["FT", ["Digits", "MNIST", "average"]].tolist() == ["4.00", "6.00", "5.00"]
    assert shown.loc["GA", ["Digits", "MNIST", "average"]].tolist() == ["4.00", "n/a", "n/a"]


@pytest.mark.slow
def test_errors_that_cancel_over_seeds_do_not_win(shelf: Shelf) -> None:
    shelf.references(0, 1, RA=0.8)
    for seed, sign in ((0, -1), (1, 1)):
        shelf.add(seed=seed, RR=1 + 0.5 * sign, RA=0.8 + 0.2 * sign)
        shelf.add(seed=seed, method="msg", method_title="MSG", RR=0.99, RA=0.79)
    shown = tables_of(shelf)["digits-resnet18"].shown.set_index("method")
    for column in ("RR (ideal 1)", "RA"):
        assert shown.loc["MSG", column].endswith("¹") and shown.loc["FT", column].endswith("²")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"protocol": "heldout"}, "protocol heldout"),
        ({"space": "ours"}, "space ours"),
        ({"trials": 40}, "40 trials"),
        ({"cell": "3" * 16, "train_epochs": 91}, "91 epochs"),
        ({"cell": "3" * 16, "limit": 500}, "limit 500"),
        ({}, "result set 77777777"),
    ],
    ids=str,
)
def test_titles_say_what_differs(shelf: Shelf, change: dict[str, Any], words: str) -> None:
    shelf.references(0)
    shelf.references(0, **{name: value for name, value in change.items() if name in ("cell", "train_epochs", "limit")})
    shelf.add()
    shelf.add(result_set="7" * 16, seconds=3.0, **change)
    titles = [table.title for name, table in tables_of(shelf).items() if name.startswith("digits-resnet18")]
    assert len(set(titles)) == 2
    assert sum(words in title for title in titles) == 1, titles


def test_best_so_far_waits_for_every_search_seed() -> None:
    """Seed 0 is at 0.1 from its first trial on; seed 1 completes its first in slot 2, with 0.9."""
    lines = [{"mia": 0.1, "params": {}}, {"mia": 0.5, "params": {}}, {"mia": 0.9, "params": {}, "seed": 1}]
    best = best_so_far(completed(trials(*lines))).mean(axis=1, skipna=False).dropna()
    assert best.tolist() == [pytest.approx(0.5)]
    assert (best.diff().dropna() <= 0).all()


def test_search_curves_never_rise(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '0,0,COMPLETE,,0,0,0,0.1,1.0,"{}"\n0,1,COMPLETE,,0,0,0,0.3,1.0,"{}"\n1,1,COMPLETE,,0,0,0,0.9,1.0,"{}"\n'
    shelf.searched(text, seed=0)
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(Axes, "step", lambda self, x, y, **style: drawn.append(np.asarray(y, float)))
    found = collect(shelf.root)
    shown = list(search.search_figures(found.trials, {"ft": "FT"}, Sheet(), Subject("", "x", "Digits"), {}))
    (curve,) = drawn
    assert len(shown) == 1
    assert curve.tolist() == [pytest.approx(0.5)] * 2, "one step, from its begin to its end"


def test_groups_are_blind_to_rounding() -> None:
    assert group(np.array([0.3, 0.1 + 0.2, 0.5]), lower_is_better=True).tolist() == [0, 0, 1]
    assert group(np.array([1e-9, 3e-9]), lower_is_better=True).tolist() == [0, 1], "small is not equal"


@pytest.mark.slow
def test_the_axis_of_retdev_is_marked_as_far_as_values_reach(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: list[float] = []
    finish = trade_off.finish

    def watching(figure: Any, *rest: Any) -> Picture:
        ticks.append(max(figure.axes[0].get_xticks()))
        return finish(figure, *rest)

    monkeypatch.setattr(trade_off, "finish", watching)
    shelf.references(0)
    shelf.add(RetDev=400.0)
    figures.draw(collect(shelf.root), [])
    assert 100 <= max(ticks) <= 520


@pytest.mark.slow
def test_failed_methods_are_drawn_as_failed_with_the_count(shelf: Shelf) -> None:
    shelf.references(0, 1)
    for seed in (0, 1):
        shelf.add(seed=seed, seconds=2.0)
        shelf.add(seed=seed, method="ct", method_title="CT", usable=False, reason="broken", seconds=77.0)
        shelf.add(seed=seed, method="ga", method_title="GA", usable=seed == 0, reason="broken" if seed else None)
    found = collect(shelf.root)
    pictures = {one.name: one for one in figures.draw(found, rankings(found.rows, found.cases))}
    for name in ("retdev-indisc-digits-resnet18", "seconds-digits-resnet18"):
        assert "CT: F, 0 of 2" in pictures[name].svg and "GA: F, 1 of 2" in pictures[name].svg, name
    assert ">77 s<" not in pictures["seconds-digits-resnet18"].svg, "the time of a broken model is no time"
