"""Groups, ranks and their uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, ward
from scipy.stats import f, friedmanchisquare, ttest_rel

from deepunlearn.analysis import choices
from deepunlearn.analysis.coverage import outcomes
from deepunlearn.analysis.inference import against_best, critical_difference, holm, neighbours, spread_p
from deepunlearn.analysis.rank import COUNTED, Bootstrap, Scores, count_groups, dense_ranks, group, groups_of
from deepunlearn.analysis.ranking import Ranking, rankings
from deepunlearn.analysis.ranking_tables import over_cells
from deepunlearn.analysis.records import collect as collect_records
from deepunlearn.analysis.rows import collect
from deepunlearn.config import read_command
from deepunlearn.stages.evaluation import Experiment

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf

RETDEV = "FT 8/1/0/0, MSG 8/1/0/0, PRMQ 7/2/0/0, CT 7/1/1/0, KDE 7/1/1/0, CFW 7/1/1/0, FCS 6/3/0/0, SalUn 6/3/0/0, NG+ 5/4/0/0, SRL 5/4/0/0, SCRUB 4/3/1/1, BT 2/7/0/0, RNI 2/7/0/0, CF-k 2/3/2/2, IU 1/0/2/6, EU-k 0/5/0/4, GA 0/1/7/1, FF 0/0/0/9"  # fmt: skip  # noqa: E501
INDISC = "CT 9/0/0/0, MSG 9/0/0/0, CFW 7/2/0/0, RNI 7/2/0/0, KDE 7/2/0/0, FT 6/3/0/0, PRMQ 6/3/0/0, SalUn 6/3/0/0, SRL 6/2/1/0, NG+ 5/4/0/0, FCS 5/4/0/0, SCRUB 5/3/0/1, BT 4/5/0/0, CF-k 1/2/4/2, EU-k 1/2/2/4, GA 0/4/4/1, IU 0/0/3/6, FF 0/0/0/9"  # fmt: skip  # noqa: E501


def published(text: str) -> pd.DataFrame:
    lines = [line.rsplit(" ", 1) for line in text.split(", ")]
    numbers = {name: [int(count) for count in counts.split("/")] for name, counts in lines}
    return pd.DataFrame.from_dict(numbers, orient="index", columns=list(COUNTED))


@pytest.mark.parametrize(
    ("counts", "ranks"),
    [
        (RETDEV, [1, 1, 2, 3, 3, 3, 4, 4, 5, 5, 6, 7, 7, 8, 9, 10, 11, 12]),
        (INDISC, [1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12]),
    ],
)
def test_the_papers_counts_give_the_papers_ranks(counts: str, ranks: list[int]) -> None:
    table = published(counts)
    assert (table.sum(axis=1) == 9).all() and len(table) == 18
    assert dense_ranks(table).tolist() == ranks


def test_groups_of_well_separated_values() -> None:
    values = np.array([0.5, 0.02, 0.9, 0.01, 0.52, 0.03])
    assert group(values, lower_is_better=True).tolist() == [1, 0, 2, 0, 1, 0]
    assert group(values, lower_is_better=False).tolist() == [1, 2, 0, 2, 1, 2]


@pytest.mark.parametrize(
    ("values", "groups"), [([0.3], [0]), ([0.3, 0.3], [0, 0]), ([0.4, 0.3, 0.4], [1, 0, 1]), ([3, 1, 2], [2, 0, 1])]
)
def test_few_distinct_values_are_groups_of_their_own(values: list[float], groups: list[int]) -> None:
    assert group(np.array(values, float), lower_is_better=True).tolist() == groups


def best_three_way_split(values: list[float]) -> float:
    """Least within-group sum of squares of a split of sorted values into three runs, by trying all."""
    ordered = np.sort(np.array(values))
    cuts = [(i, j) for i in range(1, len(ordered)) for j in range(i + 1, len(ordered))]
    return min(sum(((run - run.mean()) ** 2).sum() for run in np.split(ordered, cut)) for cut in cuts)


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=9, unique=True))
def test_groups_are_runs_of_neighbours_and_the_better_are_before_the_worse(values: list[int]) -> None:
    numbers = np.array(values, float)
    numbered = group(numbers, lower_is_better=True)
    assert set(numbered.tolist()) == {0, 1, 2}
    assert (np.diff(numbered[np.argsort(numbers)]) >= 0).all()
    spread = sum(((numbers[numbered == one] - numbers[numbered == one].mean()) ** 2).sum() for one in range(3))
    assert spread >= best_three_way_split(values) - 1e-6


def bootstrap_of(made: Scores, resamples: int) -> Bootstrap:
    found = made.bootstrap(resamples)
    assert found is not None
    return found


def scores(seeds: int = 10, noise: float = 0.001) -> Scores:
    random = np.random.RandomState(0)
    centres = {"a": 0.01, "b": 0.012, "c": 0.5, "d": 0.52, "e": 0.95}
    table = pd.DataFrame({name: centre + noise * random.randn(seeds) for name, centre in centres.items()})
    return Scores({"one": table, "two": table.drop(columns="e")}, list(centres), lower_is_better=True)


def test_failures_are_counted_and_ranked_last() -> None:
    counts = count_groups(scores().groups())
    assert counts.loc["e"].tolist() == [0, 0, 1, 1] and counts.loc["a"].tolist() == [2, 0, 0, 0]
    assert dense_ranks(counts).to_dict() == {"a": 1, "b": 1, "c": 2, "d": 3, "e": 4}


def test_clear_differences_have_certain_groups_and_noise_has_not() -> None:
    clear = bootstrap_of(scores(), resamples=50)
    assert clear.shares.loc[("G1", "a"), "one"] == pytest.approx(1.0)
    assert clear.shares.loc[("F", "e"), "two"] == pytest.approx(1.0)
    assert clear.shares["one"].groupby(level=1).sum().tolist() == pytest.approx([1.0] * 5)
    assert (clear.interval.loc["a"] == 1.5).all(), "a and b are equal in groups and share places 1 and 2"
    noisy = bootstrap_of(scores(noise=0.6), resamples=50)
    assert not noisy.certain.all() and ((noisy.interval["high"] - noisy.interval["low"]) > 0).any()


def test_the_bootstrap_draws_seeds_for_all_methods_alike() -> None:
    """Two methods that differ by a constant keep their order in every resample, however noisy the seeds are."""
    random = np.random.RandomState(1)
    base = random.randn(10)
    table = pd.DataFrame({"a": base, "b": base + 0.01, "c": base + 0.02})
    shares = bootstrap_of(Scores({"one": table}, ["a", "b", "c"], lower_is_better=True), resamples=40).shares["one"]
    assert [shares[one, name] for name, one in (("a", "G1"), ("b", "G2"), ("c", "G3"))] == pytest.approx([1.0] * 3)


def test_each_cell_draws_its_own_seeds() -> None:
    """Equal noisy tables in two cells: were the draws shared, so would be every resample's groups."""
    noisy = pd.DataFrame(np.random.RandomState(2).randn(10, 4), columns=list("abcd"))
    made = Scores({"one": noisy, "two": noisy}, list("abcd"), lower_is_better=True)
    shares = bootstrap_of(made, resamples=9).shares
    assert not np.array_equal(shares["one"], shares["two"])


def test_neighbours_that_differ_and_neighbours_that_do_not() -> None:
    found = scores().neighbours().set_index(["cell", "better", "worse"])
    assert found.loc[("one", "d", "e"), "verdict"] == "differ"
    assert found.loc[("one", "d", "e"), "p"] == pytest.approx(min(1.0, 2 / 2**10 * 4)), "the smallest p, times 4 pairs"
    same = pd.DataFrame({"a": [0.1] * 8, "b": [0.1] * 8})
    (line,) = Scores({"one": same}, ["a", "b"], lower_is_better=True).neighbours().itertuples()
    assert (line.p, line.verdict) == (1.0, "equal")


def test_five_seeds_cannot_tell() -> None:
    assert set(scores(seeds=5).neighbours()["verdict"]) == {"not testable"}


def test_holm_against_a_worked_example() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == pytest.approx([1.0, 1.0])


def ranked(shelf: Shelf) -> dict[str, Ranking]:
    frame = collect(shelf.root)
    return {one.name: one for one in rankings(frame, outcomes(frame, shelf.root))}


def fill(shelf: Shelf) -> None:
    """Two datasets x two seeds: a always good, b middling and unusable on one dataset, c bad, d without any model."""
    for number, dataset in enumerate(("digits", "mnist")):
        cell = {
            "dataset": dataset,
            "dataset_title": dataset,
            "cell": f"{number}" * 16,
            "result_set": f"{number + 5}" * 16,
        }
        for seed in (0, 1):
            noise = 0.001 * seed
            shelf.add(method="a", method_title="A", seed=seed, RetDev=0.01 + noise, Indisc=0.5 + noise, **cell)
            shelf.add(method="c", method_title="C", seed=seed, RetDev=0.9 + noise, Indisc=0.99 - noise, **cell)
            bad = {"usable": False, "reason": "TA too low"} if (dataset, seed) == ("mnist", 1) else {}
            shelf.add(method="b", method_title="B", seed=seed, RetDev=0.4 + noise, Indisc=0.7, **bad, **cell)
            shelf.fail(method="d", seed=seed, dataset=dataset, cell=cell["cell"], result_set=cell["result_set"])
        ids = {"cell": cell["cell"], "result_set": cell["result_set"], "dataset": dataset, "method": "d"}
        shelf.expect(f"run{number}", {**ids, "seed": 0}, {**ids, "seed": 1})


def test_rows_become_groups_over_cells_and_failures_without_rows_count(shelf: Shelf) -> None:
    fill(shelf)
    made = ranked(shelf)
    assert set(made) == {"ranking", "ranking-digits", "ranking-mnist"}
    counts = made["ranking"].counts("RetDev")
    assert {method: counts.loc[method].tolist() for method in "abcd"} == {
        "a": [2, 0, 0, 0], "b": [0, 1, 0, 1], "c": [0, 1, 1, 0], "d": [0, 0, 0, 2],
    }  # fmt: skip
    assert made["ranking"].ranks["RetDev"].to_dict() == {"a": 1, "b": 3, "c": 2, "d": 4}
    assert made["ranking"].ranks["Indisc"]["c"] == 1
    assert made["ranking-digits"].ranks["RetDev"].to_dict() == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert not any(made["ranking"].disagree(name) for name in "abcd"), "two seeds cannot tell"


def test_methods_whose_searches_may_stop_early_are_in_one_ranking(shelf: Shelf) -> None:
    """Their rows say how many trials were asked for, not how many each method had."""
    sweep = read_command(["dataset=digits", "method=ft,ga", "search=thrifty", "search.stops_early=true"]).sweep
    for method, deviation in zip(sweep.methods, (0.1, 0.5), strict=True):
        made = MagicMock()
        made.keys.source.return_value = "search"
        made.costs.return_value = made._given.return_value = {}
        made.unlearned.return_value.meta = {"notes": {}, "seconds": 1.0}
        made.retrain_seconds.return_value = 2.0
        Experiment.method_row(made, sweep, method, {}, 0)
        trials = made._row.call_args.args[-1]["trials"]
        for seed in (0, 1):
            shelf.add(method=method.name, method_title=method.title, seed=seed, trials=trials, RetDev=deviation)
    assert trials == sweep.search.trials
    assert [set(one.ranks["RetDev"].index) for one in ranked(shelf).values()] == [{"ft", "ga"}]


def test_a_method_that_was_not_run_everywhere_is_not_ranked_and_named(shelf: Shelf) -> None:
    fill(shelf)
    another = {"dataset": "mnist", "dataset_title": "mnist", "cell": "1" * 16, "result_set": "6" * 16}
    for seed in (0, 1):
        shelf.add(method="e", method_title="E", seed=seed, **another)
    made = ranked(shelf)
    assert "e" not in made["ranking"].ranks["RetDev"] and "not ranked: E" in made["ranking"].left_out
    assert "e" in made["ranking-mnist"].ranks["RetDev"]


def test_the_tables_over_cells_say_what_the_ranking_says(shelf: Shelf) -> None:
    fill(shelf)
    frame = collect(shelf.root)
    cases = outcomes(frame, shelf.root)
    tables = {table.name: table for table in over_cells(rankings(frame, cases), frame, cases, "")}
    ranking = tables["ranking"].shown.set_index("method")
    told = ["RetDev G1", "RetDev mean", "RetDev rank", "RetDev place, 95 %", "RetDev mean place", "metrics"]
    assert ranking.loc["A", told].tolist() == ["2", "0.010", "1", "1 [needs 5 seeds]", "1.0", ""]
    assert ranking.index.tolist() == ["A", "C", "B", "d"]
    assert tables["groups"].shown.set_index("method").loc["B", "mnist ResNet18: RetDev"] == "F"
    assert set(tables["neighbours"].shown["verdict"]) == {"not testable"}
    assert (
        tables["rte-resnet18"].shown.set_index("method").loc["A", ["digits", "mnist", "average"]].tolist()
        == ["4.00"] * 3
    )
    reliable = tables["reliability"].shown.set_index("method")
    assert reliable.loc["B", ["usable models", "failed in"]].tolist() == ["3/4", "1 of 2"]
    assert reliable.loc["d", ["usable models", "failed in"]].tolist() == ["0/4", "2 of 2"]


def test_many_lines_at_once_are_grouped_as_scipy_groups_each() -> None:
    lines = np.random.default_rng(0).exponential(size=(200, 18))
    for line, own in zip(lines, groups_of(lines, lower_is_better=True), strict=True):
        labels = fcluster(ward(line[:, None]), 3, "maxclust")
        order = sorted(set(labels), key=lambda label: line[labels == label].mean())
        assert [order.index(label) for label in labels] == own.tolist()


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_below_five_seeds_there_is_no_interval(seeds: int) -> None:
    assert scores(seeds=seeds).bootstrap() is None
    verdicts = scores(seeds=seeds).against_best()["verdict"]
    assert set(verdicts) == {"best", "not testable"}


@pytest.mark.parametrize(
    ("methods", "seeds", "testable"), [(18, 9, False), (18, 10, True), (2, 6, True), (2, 5, False)]
)
def test_what_the_correction_makes_impossible_is_not_tested(methods: int, seeds: int, testable: bool) -> None:
    """18 methods have 17 neighbours: 17 x 2 / 2^9 is 0.066, 17 x 2 / 2^10 is 0.033."""
    table = np.arange(methods) + np.random.default_rng(0).uniform(size=(seeds, methods)) / 100
    assert {one.verdict for one in neighbours(table)} == {"differ" if testable else "not testable"}


def test_seeds_on_which_two_methods_are_equal_do_not_count_for_testability() -> None:
    one, other = np.zeros(8), np.array([0.0, 0, 0, 1, 2, 3, 4, 5])
    (found,) = neighbours(np.stack([one, other], axis=1))
    assert found.verdict == "not testable", "5 of 8 seeds differ, 2 / 2^5 is 0.0625"


def test_who_differs_from_the_best_is_told_though_no_neighbours_differ() -> None:
    """0.028 to 0.116 in steps that are each within the noise of ten seeds."""
    means, names = np.linspace(0.028, 0.116, 14), list("abcdefghijklmn")
    table = pd.DataFrame(means + 0.014 * np.random.default_rng(1).standard_normal((10, 14)), columns=names)
    made = Scores({"one": table}, list(table), lower_is_better=True)
    assert set(made.neighbours()["verdict"]) == {"not distinguished"}
    found = made.against_best().set_index("method")
    assert found["verdict"].iloc[0] == "best" and found.loc["n", "verdict"] == "differs"
    assert found.loc["n", "difference"] == pytest.approx(0.088, abs=0.01)
    assert found["verdict"].iloc[1] == "not distinguished"


def test_the_best_is_found_by_the_same_data_so_all_pairs_are_corrected_for() -> None:
    """Of two methods p is the paired t-test's; with a third, equal to the second, it is held against three pairs."""
    generator = np.random.default_rng(0)
    two = generator.standard_normal((10, 2)) + np.array([0.0, 1.0])
    (_, alone), (_, among, _) = against_best(two, 0), against_best(np.hstack([two, two[:, 1:]]), 0)
    assert alone.p == pytest.approx(ttest_rel(two[:, 0], two[:, 1]).pvalue)
    assert among.p == pytest.approx(3 * alone.p)


def test_spread_is_held_against_what_seeds_do_to_methods_one_by_one() -> None:
    generator = np.random.default_rng(1)
    noise = generator.standard_normal((10, 4))
    assert spread_p(noise / 1000 + np.array([0.05, 0.0501, 0.0502, 0.0503])) > 0.05
    shifted = noise[:, :1] + noise / 1000
    assert spread_p(shifted + np.array([0.0, 0.01, 0.02, 0.03])) < 1e-6, "what a seed does to all alike does not count"
    assert spread_p(np.full((5, 3), 0.1)) == 1.0
    assert spread_p(np.tile([0.1, 0.2], (5, 1))) == 0.0
    assert np.isnan(spread_p(noise[:1])) and np.isnan(spread_p(noise[:, :1]))


def test_a_grouping_within_noise_is_marked_and_all_within_noise_is_not_ranked(shelf: Shelf) -> None:
    generator = np.random.default_rng(3)
    for number, method in enumerate("abcd"):
        for seed in range(6):
            noise = 0.01 * float(generator.standard_normal())
            shelf.add(method=method, method_title=method, seed=seed, RetDev=0.05 + 0.0001 * number + noise,
                      Indisc=0.5 + 0.1 * number + noise / 10)  # fmt: skip
    frame = collect(shelf.root)
    cases = outcomes(frame, shelf.root)
    made = rankings(frame, cases)
    (ranking,) = made
    assert ranking.ranks["RetDev"].empty and ranking.ranks["Indisc"].idxmin() == "d"
    assert len(ranking.ranks["Indisc"]) == 4
    assert (
        "RetDev: 6 seeds, 1 cell, 20 trials per search: not ranked, since the methods differ by no more"
        in ranking.trust
    )
    assert "Indisc: 6 seeds, 1 cell, 20 trials per search: the place of " in ranking.trust
    tables = {table.name: table for table in over_cells(made, frame, cases, "")}
    groups = tables["groups"].shown.set_index("method")
    assert groups["Digits ResNet18: RetDev"].str.endswith("~").all()
    assert not groups["Digits ResNet18: Indisc"].str.contains("~").any()
    shown = tables["ranking"].shown.set_index("method")
    assert shown.loc["a", ["RetDev rank", "Indisc rank"]].tolist() == ["not told", str(ranking.ranks["Indisc"]["a"])]
    assert shown.loc["a", "RetDev mean"] == f"{frame[frame['method'] == 'a']['RetDev'].mean():.3f}"
    assert all(tables[name].caption.startswith(ranking.trust) for name in ("ranking", "groups", "differences"))


def test_one_seed_is_not_ranked_and_says_so(shelf: Shelf) -> None:
    for number, method in enumerate("abc"):
        shelf.add(method=method, method_title=method, RetDev=0.1 * number, Indisc=0.5)
    (ranking,) = ranked(shelf).values()
    assert ranking.trust == (
        "1 seed, 1 cell, 20 trials per search: not ranked, since 1 seed does not show how far seeds differ; "
        "the values stand as they are."
    )
    assert all(one.empty for one in ranking.ranks.values())


def test_critical_difference_against_demsars_example() -> None:
    """Demsar (2006), section 3.2: mean ranks 3.143, 2.000, 2.893, 1.964 of 4 algorithms over 14 sets; CD 1.25."""
    auc = {
        "C4.5": [.763, .599, .954, .628, .882, .936, .661, .583, .775, 1.0, .940, .619, .972, .957],
        "C4.5+m": [.768, .591, .971, .661, .888, .931, .668, .583, .838, 1.0, .962, .666, .981, .978],
        "C4.5+cf": [.771, .590, .968, .654, .886, .916, .609, .563, .866, 1.0, .965, .614, .9751, .946],
        "C4.5+m+cf": [.798, .569, .967, .657, .898, .931, .685, .625, .875, 1.0, .962, .669, .975, .970],
    }  # fmt: skip
    found = critical_difference(-pd.DataFrame(auc).T)
    assert found is not None
    assert found.places.round(3).tolist() == [3.143, 2.0, 2.893, 1.964]
    assert found.difference == pytest.approx(1.25, abs=0.005)
    statistic = friedmanchisquare(*auc.values()).statistic
    assert found.p == pytest.approx(f.sf(13 * statistic / (14 * 3 - statistic), 3, 39)) and found.decides


def test_failed_methods_come_last_in_mean_places() -> None:
    found = scores().critical_difference()
    assert found is not None and found.places["e"] == 5.0
    assert not found.decides, "over two cells no five methods can be told apart"


def test_the_answer_under_other_choices(shelf: Shelf) -> None:
    """RetDev a < b < c; by the gap to the retrained model c is best and a worst; d failed by any choice."""
    shelf.references(0, 1, RA=0.8, FA=0.8, TA=0.8)
    for place, (name, retdev) in enumerate({"a": 0.1, "b": 0.5, "c": 0.9}.items()):
        for seed in (0, 1):
            accuracy = dict.fromkeys(("RA", "FA", "TA"), 0.4 + 0.2 * place)
            own: dict[str, float | None] = {"RetDev": retdev + seed / 100, "Indisc": 0.5 + retdev / 9}
            own |= dict.fromkeys(("gap", "ToW"))  # as earlier programs left them; they follow from the accuracies
            own |= dict.fromkeys(("MIA_AUC", "Disc_AUC")) if name == "b" else {}
            shelf.add(method=name, method_title=name.upper(), seed=seed, **own, **accuracy)
    shelf.expect("run1", {"method": "d", "seed": 0}, {"method": "d", "seed": 1})
    shelf.fail(method="d", seed=0)
    shelf.fail(method="d", seed=1)
    found = collect_records(shelf.root)
    (ranking,) = rankings(found.rows, found.cases)
    lines = choices.table(ranking).set_index(["metric", "choice"])
    assert lines.loc[("RetDev", "average linkage"), ["best", "tau", "moves most"]].tolist() == ["A", 1.0, "none"]
    gap = lines.loc[("RetDev", "gap in its place")]
    assert gap["best"] == "C" and gap["moves most"] in ("A: 1 to 3", "C: 3 to 1")
    assert gap["tau"] == pytest.approx(0.0), "of six pairs three turn: those among A, B and C"
    assert lines.loc[("RetDev", "ToW in its place"), "best"] == "C"
    assert lines.loc[("Indisc", "Disc_AUC in its place"), "missing"] == "not computed for every model: B"


@pytest.mark.parametrize("name", ["ward", "average", "complete"])
def test_linkages_differ_where_they_should(name: str) -> None:
    """Of [0, 1, 2, 3.5, 9, 14] complete linkage keeps the first four, and any keeps 9 and 14 apart from these."""
    values = np.array([0, 1, 2, 3.5, 9, 14.0])
    assert choices.linked(values, True, name).tolist() == [0, 0, 0, 0, 1, 2]
    assert choices.linked(-values, False, name).tolist() == [0, 0, 0, 0, 1, 2]
    assert choices.linked(values[:2], True, name).tolist() == [0, 1]
