"""Requests one after the other: what comes back, what erodes, and from when on retraining would have been cheaper."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deepunlearn.analysis import records, tables
from deepunlearn.analysis.figures.rounds import round_figures
from deepunlearn.analysis.figures.style import PAGE
from deepunlearn.analysis.inference import mean_interval
from deepunlearn.analysis.inputs import OPTIONS, asked_round, load_records
from deepunlearn.analysis.page.result_sets import result_sets
from deepunlearn.analysis.ranking import rankings
from deepunlearn.analysis.round_tables import round_tables
from deepunlearn.analysis.rounds import SEEN, Course, Crossing, courses, judged
from deepunlearn.analysis.rows import of_round
from deepunlearn.core.errors import ConfigError
from tests.analysis.conftest import Shelf, row

REQUESTED, FORGOTTEN, RETRAINING = {1: 10, 2: 30, 3: 60}, {1: 10, 2: 40, 3: 100}, {1: 8.0, 2: 7.0, 3: 6.0}
BROKEN = "cannot tell: no usable model on every seed from round 2 on"


def at(round: int, **changes: Any) -> dict[str, Any]:
    """What rows of a round have in common."""
    return {
        "cell": f"{round}" * 16, "sequence": "5" * 16, "round": round, "rounds": 3, "requested": REQUESTED[round],
        "forgotten": FORGOTTEN[round], "n_forget": FORGOTTEN[round], "forget_ratio": FORGOTTEN[round] / 1200,
        "forget_title": f"random 10 %, after {round} of 3 requests", **changes,
    }  # fmt: skip


def scores(round: int, excess: float, ra: float = 0.98, **changes: Any) -> dict[str, Any]:
    """Of a model whose accuracy on earlier requests is `excess` above the retrained model's."""
    earlier = round > 1
    return {
        "FA_request": 0.8, "FA_earlier": 0.8 + excess if earlier else None, "RA": ra, "FA": 0.8,
        "Disc_AUC_request": 0.1, "Disc_AUC_earlier": 0.1 if earlier else None, **changes,
    }  # fmt: skip


def fill(shelf: Shelf, seeds: int = 5) -> None:
    """Three requests. FT: what was forgotten comes back; CT erodes and gets slow; GA breaks in round 2 on one seed."""
    for round, retraining in RETRAINING.items():
        shelf.references(*range(seeds), **at(round, **scores(round, 0.0)))
        for seed in range(seeds):
            own = at(round, seed=seed, result_set=f"{round + 5}" * 16, retrain_seconds=retraining)
            noise = (seed - (seeds - 1) / 2) / 1000
            returns = scores(round, (0.115 if round == 3 else 0.0) + noise, Disc_AUC_earlier=0.3 if round > 1 else None)
            shelf.add(**own | returns | {"FA_request": 0.82 if round == 2 else 0.8, "seconds": 3.0})
            slow = {1: 9.0 if seed == 0 else 7.0, 2: 9.0, 3: 9.0}[round]
            eroded = scores(
                round, 10 * noise, 0.98 - (0.05 + noise if round == 3 else 0.0), record_MB=2.5, record_seconds=6.5
            )
            shelf.add(method="ct", method_title="CT", **own | eroded | {"seconds": slow})
            lost = {"usable": False, "reason": "broken"} if round == 2 and seed == seeds - 1 else {}
            shelf.add(method="ga", method_title="GA", **own | scores(round, 0.0) | {"seconds": 1.0} | lost)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> records.Records:
    shelf = Shelf(tmp_path_factory.mktemp("rounds") / "results")
    fill(shelf)
    return records.collect(shelf.root)


@pytest.fixture
def course(held: records.Records) -> Course:
    (found,) = courses(held.rows, held.cases)
    return found


def test_rounds_of_one_sequence_are_one_course_with_the_references_of_every_round(course: Course) -> None:
    assert (course.name, course.rounds, list(course.methods)) == ("digits-resnet18", [1, 2, 3], ["ct", "ft", "ga"])
    assert course.requested == REQUESTED and course.forgotten == FORGOTTEN
    assert course.table("retrained", "RA").shape == (5, 3) and course.table("retrained", "RA").notna().all(axis=None)


def test_after_a_model_that_is_not_usable_its_seed_counts_no_more(course: Course) -> None:
    assert course.usable("ga") == {1: 5, 2: 4, 3: 4} and course.broken("ga") == 2, "round 3 began with a broken model"
    assert course.broken("ft") is None
    assert course.came_back()["ga"].verdict == course.eroded()["ga"].verdict == BROKEN
    assert course.dearer_than_each("ga") == Crossing(None, (), BROKEN)


def test_a_gap_is_told_by_what_was_asked_for(shelf: Shelf) -> None:
    """On seed 2 FT failed; of CT everything did; GA was not run in round 3; BT cannot be applied. Round 3 is empty."""
    asked = []
    for round in (1, 2, 3):
        own = {"cell": f"{round}" * 16, "result_set": f"{round + 5}" * 16}
        day = {**own, "date": f"2026-01-0{round}"}
        told = {**own, "forget": f"random 10 %, after {round} of 3 requests"}
        for seed in (0, 1, 2):
            if round < 3:
                shelf.references(seed, **at(round, **scores(round, 0.0)))
                shelf.add(method="ga", method_title="GA", **at(round, seed=seed, **own, **scores(round, 0.0)))
            if round < 3 and seed < 2:
                shelf.add(**at(round, seed=seed, **own, **scores(round, 0.0)))
            else:
                shelf.fail(seed=seed, kind="failed" if round == 1 else "not_reached", **day)
            shelf.fail(method="ct", seed=seed, **day)
            shelf.fail(method="bt", seed=seed, kind="not_applicable", **day)
            asked += [{"method": name, "seed": seed, **told} for name in ("ft", "ct", "ga", "bt")]
    path = shelf.expect("run1")
    names = ("result_set", "cell", "dataset", "arch", "method", "seed", "forget")
    path.write_text(json.dumps([{name: {**row(**one), **one}[name] for name in names} for one in asked]))
    found = records.collect(shelf.root)
    (own,) = courses(found.rows, found.cases)
    assert own.seeds == [0, 1, 2] and own.usable("ft") == {1: 2, 2: 2, 3: 0}
    gaps = {"ft": "F from round 1", "ct": "F from round 1", "ga": "not run from round 3", "bt": "n/a from round 1"}
    assert {method: own.gap(method) for method in own.methods} == gaps
    made = {table.name: table.shown.set_index("method") for table in round_tables(found.rows, found.cases, "")}
    assert made["rounds-verdicts-digits-resnet18"]["usable"].to_dict() == {
        "FT": "F from round 1 (2/3)", "ct": "F from round 1 (0/3)", "GA": "not run from round 3 (0/3)",
        "bt": "n/a from round 1 (0/3)",
    }  # fmt: skip
    drawn = {one.name.split("-")[1]: one.title for one in round_figures(found.rows, found.cases, PAGE)}
    assert "FT (F from round 1), GA (not run from round 3)" in drawn["scores"]


def test_what_comes_back_is_held_against_when_it_was_forgotten(course: Course) -> None:
    """FT's excess was 0 on 10 samples and 0.02 on 30, so 0.015, and is 0.115 after the last round."""
    found = course.came_back()
    low, high = mean_interval(0.1 + np.arange(-2, 3) / 1000) or (0, 0)
    assert found["ft"][:3] == pytest.approx((0.1, low, high)) and found["ft"].verdict == "comes back"
    assert found["ct"].mean == pytest.approx(0) and found["ct"].verdict == "no change seen"


def test_the_attack_on_earlier_requests_is_held_against_retrained_models(course: Course) -> None:
    found = course.seen_at_last()
    assert found["ft"].mean == pytest.approx(0.2) and found["ft"].verdict == "more than in retrained models"
    assert found["ct"].verdict == "no difference seen"


def test_retain_accuracy_erodes_beside_the_retrained_models(course: Course) -> None:
    found = course.eroded()
    assert found["ct"].mean == pytest.approx(-0.05) and found["ct"].verdict == "erodes"
    assert found["ft"].mean == 0 and found["ft"].verdict == "no change seen"


def test_a_fall_that_retrained_models_share_is_no_erosion(held: records.Records) -> None:
    rows = held.rows.copy()
    fell = (rows["round"] == 3) & (rows["method"] == "retrained")
    rows.loc[fell, "RA"] -= 0.05
    (own,) = courses(rows, held.cases)
    assert own.eroded()["ct"].mean == pytest.approx(0) and own.eroded()["ft"].verdict == "rises"


def test_few_seeds_get_no_verdict(held: records.Records) -> None:
    (own,) = courses(held.rows[held.rows["seed"] < 4], held.cases[held.cases["seed"] < 4])
    for answers in (own.came_back(), own.seen_at_last(), own.eroded()):
        assert answers["ft"].verdict == "cannot tell: needs 5 seeds, has 4" and np.isnan(answers["ft"].low)


def test_verdicts_are_corrected_for_the_number_of_methods() -> None:
    values = 0.9 + np.array([-1.0, -0.6, 0.1, 0.5, 1.0])
    alone = judged({"one": values + 0.2}, SEEN)["one"]
    among = judged({"one": values + 0.2, **{str(number): values - 0.9 for number in range(5)}}, SEEN)["one"]
    assert alone.p < 0.05 < among.p == pytest.approx(6 * alone.p)
    assert (alone.verdict, among.verdict) == ("more than in retrained models", "no difference seen")


def test_where_nothing_changes_at_most_five_of_a_hundred_tables_say_that_something_does() -> None:
    """Five methods, five seeds, 400 invented tables: 2 % more would be four standard errors above the level."""
    generator = np.random.default_rng(0)
    tables_ = generator.normal(size=(400, 5, 5))
    said = [any(one.p < 0.05 for one in judged(dict(enumerate(values)), SEEN).values()) for values in tables_]
    assert 0.01 < np.mean(said) < 0.09


def test_an_attack_that_is_not_defined_has_no_verdict(held: records.Records) -> None:
    rows = held.rows.assign(Disc_AUC_earlier=float("nan"))
    (own,) = courses(rows, held.cases)
    assert own.seen_at_last()["ft"].verdict == "n/a: not defined on every seed"


def test_a_slow_first_round_that_is_made_up_for_is_no_crossing(held: records.Records) -> None:
    """FT takes 9 s in the first round, 12 and 15 s up to the others; retraining each time 8, 15 and 21."""
    rows = held.rows.copy()
    rows.loc[(rows["round"] == 1) & (rows["method"] == "ft"), "seconds"] = 9.0
    (own,) = courses(rows, held.cases)
    assert own.dearer_than_each("ft") == Crossing(None, (None,) * 5)
    assert own.dearer_than_once("ft").round == 1


def test_retraining_is_cheaper_from_the_first_round_on_in_which_all_seconds_are_more(course: Course) -> None:
    """Seconds up to each round. FT: 3, 6, 9. CT: 7.4, 16.4, 25.4. Retraining each time: 8, 15, 21; once: 8, 7, 6."""
    assert course.dearer_than_each("ft") == Crossing(None, (None,) * 5)
    assert course.dearer_than_once("ft") == Crossing(3, (3,) * 5)
    assert course.dearer_than_each("ct") == Crossing(2, (1, 2, 2, 2, 2)), "seed 0 was slow at once"
    assert course.dearer_than_once("ct").round == 2


def test_what_the_learning_phase_took_is_spent_before_the_first_request(course: Course) -> None:
    """CT, with 6.5 s: 13.9, 22.9, 31.9; FT has no record."""
    assert course.recording("ct").tolist() == [6.5] * 5 and course.recording("ft").isna().all()
    assert course.dearer_than_each("ct", record=True) == Crossing(1, (1,) * 5)
    assert course.dearer_than_once("ct", record=True) == Crossing(1, (1,) * 5)
    assert course.dearer_than_once("ft", record=True) == course.dearer_than_once("ft") == Crossing(3, (3,) * 5)


def test_what_was_not_timed_beside_retraining_has_no_crossing(held: records.Records) -> None:
    rows = held.rows.copy()
    rows.loc[rows["round"] == 2, "retrain_seconds"] = None
    (own,) = courses(rows, held.cases)
    assert own.dearer_than_each("ft").why == "n/a: not timed beside retraining in every round"


@pytest.mark.slow
def test_only_the_last_round_is_ranked_and_summed_up(held: records.Records) -> None:
    ranked = rankings(held.counted.rows, held.counted.cases)
    assert {column for one in ranked for column in one.groups["RetDev"]} == {"Digits ResNet18"}
    own = result_sets(held.counted)
    assert [set(one.rows["round"]) for one in own] == [{3}]
    made = tables.build(held, ranked)
    assert sum(bool(table.group) for table in made) == 1
    coverage = next(table for table in made if table.name == "coverage")
    assert set(coverage.data["cell"]) == {"1" * 16, "2" * 16, "3" * 16}, "nothing that was asked for is out of sight"
    assert not any(table.name.startswith("sizes") for table in made), "rounds are no sizes"


@pytest.mark.slow
def test_another_round_is_ranked_and_summed_up_where_it_is_asked_for(shelf: Shelf) -> None:
    """With the scores of that round, and every table says so; those over the rounds have all of them as ever."""
    fill(shelf)
    shelf.expect()
    asked = load_records({**OPTIONS, "results": str(shelf.root), "round": "2"})
    ranked = rankings(asked.counted.rows, asked.counted.cases)
    assert [set(one.rows["round"]) for one in result_sets(asked.counted)] == [{2}]
    made = {table.name: table for table in tables.build(asked, ranked)}
    scores = made["digits-resnet18"].data.set_index("method")
    assert scores.loc["ct", "seconds_mean"] == 9 and scores.loc["ga", "status"] == "F", "GA broke in round 2"
    assert all("round 2 counts, as was asked for" in table.caption for table in made.values())
    assert set(made["rounds-scores-digits-resnet18"].data["round"]) == {1, 2, 3}


@pytest.mark.parametrize("given", ["4", "0", "-1", "two", "1.5"])
def test_a_round_that_no_row_has_is_refused(held: records.Records, given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        asked_round(given, held)
    assert caught.value.given == f"round={given}" and caught.value.allowed == "1, 2, 3"
    assert "leave round= out" in str(caught.value.remedy)


def test_without_requests_one_after_the_other_there_is_no_round_to_ask_for(shelf: Shelf) -> None:
    shelf.references(0)
    shelf.add()
    shelf.expect()
    with pytest.raises(ConfigError, match="here there are none") as caught:
        load_records({**OPTIONS, "results": str(shelf.root), "round": "1"})
    assert "leave round= out" in str(caught.value.remedy)


def test_a_sequence_without_the_round_is_left_out_and_ordinary_results_stay(held: records.Records) -> None:
    longer = held.rows.assign(cell=held.rows["cell"].str.replace("[123]", "a", regex=True), round=4, rounds=4)
    plain = held.rows.assign(cell="b" * 16, round=pd.NA, rounds=pd.NA)
    frame, _ = of_round(pd.concat([held.rows, longer, plain]), held.cases, 4)
    assert set(frame["cell"]) == {"a" * 16, "b" * 16}


@pytest.mark.parametrize(("round", "left"), [(None, "3"), (2, "2")])
def test_the_round_of_a_cell_without_any_row_is_told_by_its_title(
    held: records.Records, round: int | None, left: str
) -> None:
    """As of a sweep that has just begun: a hole of another round is none of this one."""
    cases = held.cases.assign(forget=[f"random 10 %, after {cell[0]} of 3 requests" for cell in held.cases["cell"]])
    frame, cases = of_round(held.rows[held.rows["round"] == 1], cases, round)
    assert frame.empty and set(cases["cell"]) == {left * 16}


def test_ordinary_results_are_no_course_and_stay(held: records.Records, shelf: Shelf) -> None:
    shelf.references(0)
    shelf.add()
    plain = records.collect(shelf.root)
    assert not courses(plain.rows, plain.cases) and plain.counted.rows.equals(plain.rows)
