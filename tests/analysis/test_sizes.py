"""Results that differ in the size of the forget set: which are put together, where methods stop, what a few tell."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import beta

from deepunlearn.analysis import records
from deepunlearn.analysis.sizes import BySize, Limit, by_size, exact, forget_accuracy, label_of, series
from tests.analysis.conftest import Shelf

ATTACK = ("MIA", "MIA_AUC", "Disc", "Indisc", "MIA_val", "Disc_val", "MIA_AUC_val")
SIZES = {1: "1 random sample", 20: "20 random samples", 600: "random 50 %"}


def at(size: int, number: int, **changes: Any) -> dict[str, Any]:
    """What rows of a size have in common."""
    attack = dict.fromkeys(ATTACK) if size < 10 else {}
    return {
        "cell": f"{number}" * 16, "forget_ratio": size / 1200, "n_forget": size, "n_retain": 1200 - size,
        "forget_title": SIZES[size], **attack, **changes,
    }  # fmt: skip


def fill(shelf: Shelf, seeds: int = 5) -> None:
    """FT is usable everywhere, GA on one seed alone at 20 samples, CT on none at 600. gap orders: FT, GA, CT."""
    for number, size in enumerate(SIZES):
        shelf.references(*range(seeds), **at(size, number, FA=1.0 if size == 1 else 0.9, RetDev=0.0))
        for seed in range(seeds):
            own = at(size, number, result_set=f"{number + 5}" * 16, seed=seed, FA=1.0 if size == 1 else 0.85)
            noise = seed / 1000
            shelf.add(gap=0.1 + noise, RetDev=None if size == 1 else 0.3 + noise, **own)
            for method, gap, lost in (("ga", 0.2 + 2 * noise, size == 20 and seed), ("ct", 0.3 + noise, size == 600)):
                said = {"usable": False, "reason": "TA is near chance"} if lost else {}
                shelf.add(method=method, method_title=method.upper(), gap=gap, **own, **said)


def found(shelf: Shelf) -> BySize:
    held = records.collect(shelf.root)
    (own,) = by_size(held.rows, held.cases)
    return own


@pytest.fixture(scope="module")
def five_seeds(tmp_path_factory: pytest.TempPathFactory) -> BySize:
    shelf = Shelf(tmp_path_factory.mktemp("sizes") / "results")
    fill(shelf)
    return found(shelf)


@pytest.mark.parametrize(
    ("titles", "once"),
    [
        (("random 5 %", "random 20 %"), True),
        (("50 random samples", "200 random samples"), True),
        (("1 random sample", "200 random samples"), True),
        (("1 random sample", "random 20 %"), True),
        (("1 listed sample", "200 listed samples"), True),
        (("10 % of class 3", "20 % of class 3"), True),
        (("1 of 2 colours", "2 of 2 colours"), True),
        (("class 3", "class 4"), False),
        (("coarse 3, 4 and sex f", "coarse 3, 7 and sex f"), False),
        (("class cat", "class dog"), False),
        (("hardest 5 % by confidence", "easiest 20 % by confidence"), False),
        (("200 listed samples", "200 random samples"), False),
    ],
)
def test_sizes_are_those_of_one_kind(titles: tuple[str, str], once: bool) -> None:
    assert (label_of(titles[0]) == label_of(titles[1])) == once


def test_one_sample_and_half_of_the_data_are_one_series(shelf: Shelf) -> None:
    fill(shelf, seeds=1)
    (own,) = series(records.collect(shelf.root).rows)
    assert (own.name, own.label, set(own.rows["n_forget"])) == ("digits-resnet18", "random", set(SIZES))
    assert set(own.rows["method"]) == {"original", "retrained", "ft", "ga", "ct"}


def test_one_size_and_cells_with_other_recipes_are_no_series(shelf: Shelf) -> None:
    shelf.references(0)
    shelf.add()
    shelf.add(cell="9" * 16, forget_title="random 20 %", forget_ratio=0.2, n_forget=200, train_epochs=99)
    assert not list(series(records.collect(shelf.root).rows))


def test_cells_with_two_result_sets_of_one_kind_are_left_out(shelf: Shelf) -> None:
    fill(shelf, seeds=1)
    shelf.add(**at(600, 2, result_set="d" * 16, params='{"lr": 1.0}', gap=0.9))
    (own,) = series(records.collect(shelf.root).rows)
    assert set(own.rows["n_forget"]) == {1, 20}


def test_methods_stop_where_fewer_models_are_usable_than_there_are_seeds(five_seeds: BySize) -> None:
    own = five_seeds
    assert [size.samples for size in own.sizes] == [1, 20, 600]
    assert own.limit("ft") == Limit(None, 0, 0, "", (), ())
    why = "4 not usable: TA is near chance"
    assert own.limit("ga") == Limit(20, 1, 5, why, (600,), ()), "and it is usable again"
    assert own.limit("ct")[:3] == (600, 0, 5)


def test_what_was_not_run_is_no_limit(shelf: Shelf) -> None:
    fill(shelf, seeds=1)
    shelf.add(**at(20, 1, result_set="6" * 16, method="msg", method_title="MSG", seed=0))
    assert found(shelf).limit("msg") == Limit(None, 0, 0, "", (), (1, 600))


def test_a_size_at_which_every_method_failed_counts(shelf: Shelf) -> None:
    fill(shelf, seeds=1)
    size = at(1, 7, forget_title="300 random samples", n_forget=300, forget_ratio=0.25)
    shelf.references(0, **size)
    failed = {"cell": size["cell"], "result_set": "e" * 16, "method": "ft"}
    shelf.fail(**failed)
    shelf.expect("run1", failed)
    own = found(shelf)
    assert [size.samples for size in own.sizes] == [1, 20, 300, 600]
    assert own.limit("ft")[:3] == (300, 0, 1) and own.limit("ft").again == (600,)


def test_one_metric_orders_at_every_size(five_seeds: BySize) -> None:
    """RetDev is not defined of one sample that no retrained model gets right, so gap orders the others as well."""
    own = five_seeds
    assert own.metrics == ("gap", "Indisc")
    one, twenty, half = own.sizes
    assert one.order("gap")["method"].tolist() == ["ft", "ga", "ct"]
    assert twenty.order("gap")["method"].tolist() == ["ft", "ct"], "GA is not usable"
    assert half.order("gap")["verdict"].tolist() == ["best", "differs"]
    assert twenty.order("Indisc")["place"].tolist() == [1, 1], "equal means share a place"
    assert one.order("Indisc").empty and "1 sample is forgotten" in one.no_attack
    assert not twenty.no_attack and twenty.floors["Indisc_floor_mean"] == pytest.approx(0.8644)


@pytest.mark.parametrize(("right", "of"), [(0, 1), (1, 1), (3, 10), (10, 10), (90, 122)])
def test_exact_intervals_are_quantiles_of_beta_distributions(right: int, of: int) -> None:
    low = beta.ppf(0.025, right, of - right + 1) if right else 0.0
    high = beta.ppf(0.975, right + 1, of - right) if right < of else 1.0
    assert exact(right, of) == pytest.approx((low, high))


def test_more_seeds_do_not_make_the_interval_of_an_accuracy_narrower(five_seeds: BySize) -> None:
    one, twenty, _ = five_seeds.sizes
    mean, span = forget_accuracy(one.rows[one.rows["method"] == "ft"]) or (0, (0, 0))
    assert mean == 1 and span == pytest.approx((0.025, 1.0)), "of one sample next to nothing is known"
    retrained = twenty.rows[twenty.rows["method"] == "retrained"]
    assert (forget_accuracy(retrained) or (0, None))[1] == pytest.approx(exact(18, 20))
    spoilt = retrained.assign(usable=False)
    assert forget_accuracy(spoilt) is None
