"""Requests that arrive one after the other: which samples each is about, what a command may say, what keys say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepunlearn.cells import CellKeys
from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import ForgetSet, kind_of
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.split import Pending, Split
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.rounds import RoundsForget, rounds
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import Task
from tests.commands import refusal
from tests.forget.small_sets import DATA, cut

KINDS: dict[str, dict[str, Any]] = {
    "random": {"ratio": 0.2},
    "classes": {"classes": (1,), "share": 1.0},
    "where": {"where": {"colour": "red"}},
    "mislabelled": {"noise": 0.2, "flip": "uniform", "known": 0.5},
}
SMALL = ("dataset=digits", "arch=smallnet", "method=ft", "search=none", "seeds=1")


def kind(name: str, **values: Any) -> ForgetSet:
    return kind_of(name).model_validate({"name": name, **values})


def sequence(of: ForgetSet, **asked: Any) -> list[RoundsForget]:
    return list(rounds(of, asked))


def listed(folder: Path, text: str) -> ForgetSet:
    (folder / "ids.csv").write_text(text, encoding="utf-8")
    return kind("list", file=str(folder / "ids.csv"))


def everything(split: Split) -> dict[str, list[Any]]:
    return {name: array.tolist() for name, array in split.arrays().items()}


@pytest.mark.parametrize("name", KINDS)
def test_each_round_forgets_what_was_asked_for_so_far_and_the_last_one_all(name: str) -> None:
    """Retained are all others: nothing that any round forgets comes back, and nothing is in both."""
    of = kind(name, **KINDS[name])
    whole, splits = cut(of), [cut(one) for one in sequence(of, rounds=4)]
    assert everything(splits[-1]) == everything(whole)
    before: set[int] = set()
    sizes = []
    for split in splits:
        forgotten = set(split.forget.tolist())
        assert before < forgotten <= set(whole.forget.tolist())
        assert not forgotten & set(split.retain.tolist())
        assert split.train.tolist() == whole.train.tolist() and split.val.tolist() == whole.val.tolist()
        sizes.append(len(forgotten - before))
        before = forgotten
    assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_random_requests_of_any_sizes_follow_the_order_of_the_seed(schedule: list[int], seed: int) -> None:
    """So after each of them the split is that of an ordinary random forget set of so many samples."""
    for number, one in enumerate(sequence(kind("random"), schedule=schedule), start=1):
        ordinary = kind("random", count=sum(schedule[:number]))
        assert everything(cut(one, seed=seed)) == everything(cut(ordinary, seed=seed))


def test_a_class_is_lost_when_its_last_sample_goes_and_labels_stay_wrong_from_the_first_round_on() -> None:
    splits = [cut(one) for one in sequence(kind("classes", classes=(1,), share=1.0), rounds=3)]
    assert [split.forgotten_classes for split in splits] == [(), (), (1,)]
    of = kind("mislabelled", **KINDS["mislabelled"])
    whole, first = cut(of), cut(sequence(of, rounds=3)[0])
    assert first.wrong is not None and first.wrong.tolist() == whole.wrong.tolist()  # type: ignore[union-attr]
    assert len(first.forget) < len(whole.forget) < len(first.wrong)


def test_unseen_samples_are_like_those_forgotten_so_far() -> None:
    first, _, last = (cut(one) for one in sequence(kind("where", where={"colour": ["red", "green"]}), rounds=3))
    assert first.unseen_test is not None and last.unseen_test is not None
    assert first.unseen_test.tolist() == last.unseen_test.tolist(), "by the same rule"


def test_a_list_says_by_itself_in_which_request_a_sample_is(tmp_path: Path) -> None:
    """After each request it is the ordinary list of the entries so far, remarks and attacked samples included."""
    entries = list(range(0, 400, 5))
    text = "round,id\n" + "\n".join(f"{1 + number % 3},{entry}" for number, entry in enumerate(entries))
    for number, one in enumerate(sequence(listed(tmp_path, text), rounds="file"), start=1):
        (tmp_path / str(number)).mkdir()
        so_far = [str(entry) for place, entry in enumerate(entries) if place % 3 < number]
        ordinary = listed(tmp_path / str(number), "\n".join(["id", *so_far]))
        assert everything(cut(one)) == everything(cut(ordinary))
        assert one.union_fields(DATA, len(so_far)) == ordinary.key_fields(DATA)
        assert number == 3 or cut(one).remarks != cut(listed(tmp_path, text)).remarks


def test_the_column_of_a_list_is_nothing_where_no_rounds_are_asked_for(tmp_path: Path) -> None:
    text = "id,round\n" + "".join(f"{entry},{entry}\n" for entry in range(0, 400, 5))
    plain = listed(tmp_path, "".join(f"{entry}\n" for entry in range(0, 400, 5)))
    assert everything(cut(listed(tmp_path, text))) == everything(cut(plain))


def test_before_confidence_is_known_sizes_are() -> None:
    of = kind("difficulty", by="confidence", end="hardest", ratio=0.1)
    known = [
        make_splits(DATA.train_labels, DATA.test_labels, limit=None, val_ratio=0.15, forget=one, seed=1)
        for one in sequence(of, rounds=2)
    ]
    assert all(isinstance(one, Pending) for one in known)
    assert [one.sizes(0)["forget"] for one in known] == [34, 68]
    assert all(one.sizes(0)["retain"] + one.sizes(0)["forget"] == 680 for one in known)


# ---------------------------------------------------------------------------------------------------------------- keys


def keys_of(sweep: SweepConfig, sizes: Mapping[int, int]) -> list[CellKeys]:
    """Of each cell, whose forget set has so many samples."""
    made: list[CellKeys] = []
    for number, cell in enumerate(sweep.cells):
        size = {"retain": 1000 - sizes[number], "forget": sizes[number], "val": 100, "test": 100}
        made.append(
            CellKeys(cell, "ab" * 32, 10, lambda _, size=size: size, before=lambda place=number - 1: made[place])  # type: ignore[misc]
        )
    return made


def test_models_of_a_first_request_are_those_of_an_ordinary_one() -> None:
    ordinary = read_command([*SMALL, "forget.count=5"]).sweep
    arriving = read_command([*SMALL, "forget.schedule=[5,2,9]"]).sweep
    first, second, third = keys_of(arriving, {0: 5, 1: 7, 2: 16})
    (alone,) = keys_of(ordinary, {0: 5})
    method = ordinary.methods[0]
    made = first.unlearned(method, method.complete({}), 0)
    assert (
        made == alone.unlearned(method, method.complete({}), 0)
        and made.hash == alone.unlearned(method, method.complete({}), 0).hash
    )
    assert first.reference("retrained", 0) == alone.reference("retrained", 0)
    assert first.cell_key != alone.cell_key, "another table"
    again = second.unlearned(method, method.complete({}), 0, earlier=made)
    assert again.earlier == made and again.original == made.original
    from_original = second.unlearned(method, method.complete({}), 0)
    assert again.hash != from_original.hash
    assert third.split == keys_of(read_command([*SMALL, "forget.count=16"]).sweep, {0: 16})[0].split
    assert len({one.sequence_id for one in (first, second, third)}) == 1
    assert len({one.cell_key.short for one in (first, second, third)}) == 3


def test_retrained_models_are_shared_by_sequences_that_have_come_to_the_same_samples() -> None:
    some = keys_of(read_command([*SMALL, "forget.schedule=[1,1,2]"]).sweep, {0: 1, 1: 2, 2: 4})
    others = keys_of(read_command([*SMALL, "forget.count=4", "forget.rounds=2"]).sweep, {0: 2, 1: 4})
    assert some[1].reference("retrained", 0) == others[0].reference("retrained", 0)
    assert some[2].reference("retrained", 0) == others[1].reference("retrained", 0)
    assert some[1].sequence_id != others[0].sequence_id
    method = read_command([*SMALL]).sweep.methods[0]
    earlier = some[0].unlearned(method, method.complete({}), 0)
    two_steps = some[1].unlearned(method, method.complete({}), 0, earlier=earlier)
    assert two_steps.hash != others[0].unlearned(method, method.complete({}), 0).hash


def test_a_wrongly_labelled_original_is_that_of_the_whole_forget_set_in_all_rounds() -> None:
    sweep = read_command([*SMALL, "forget=mislabelled", "forget.rounds=2"]).sweep
    (alone,) = keys_of(read_command([*SMALL, "forget=mislabelled"]).sweep, {0: 40})
    made = keys_of(sweep, {0: 20, 1: 40})
    assert {one.reference("original", 0).hash for one in made} == {alone.reference("original", 0).hash}
    assert made[0].reference("retrained", 0) != made[1].reference("retrained", 0) == alone.reference("retrained", 0)


def test_what_methods_are_given_is_this_request() -> None:
    second = keys_of(read_command([*SMALL, "forget.schedule=[5,2,9]"]).sweep, {0: 5, 1: 7, 2: 16})[1]
    assert second.sizes_of_run(0) == {"retain": 993, "forget": 2, "val": 100, "test": 100}


# --------------------------------------------------------------------------------------------------------------- tasks


def test_a_round_goes_on_from_the_one_before_and_hyper_parameters_are_those_of_the_first(tmp_path: Path) -> None:
    arguments = [*SMALL[:3], "dataset.limit=400", "seeds=2", "search=quick", "search.seeds=1", "forget.count=9"]
    command = read_command([*arguments, "forget.rounds=3", f"results={tmp_path}"])
    planner = Planner(command.sweep, Progress(quiet=True))
    tasks = planner.tasks
    assert [task.cell for task in tasks if task.stage in ("search", "select")] == [0, 0]
    assert len([task for task in tasks if task.stage == "reference" and task.method == "original"]) == 2
    assert len([task for task in tasks if task.stage == "reference" and task.method == "retrained"]) == 6
    for task in tasks:
        place = tasks.index(task)
        assert all(tasks.index(one) < place for one in planner.inputs(task)), task
    assert Task("evaluate", 1, "ft", 1) in planner.inputs(Task("evaluate", 2, "ft", 1))
    assert Task("select", 0, "ft", None) in planner.inputs(Task("evaluate", 2, "ft", 1))
    assert Task("evaluate", 0, "retrained", 1) not in planner.inputs(Task("evaluate", 1, "retrained", 1))
    steps = [planner.step_of(task) for task in tasks]
    assert list(dict.fromkeys(steps)) == [step for step in planner.steps if step in steps], "no step comes twice"
    for step in planner.steps:
        here = {task for task in tasks if planner.step_of(task) == step}
        assert not any(here & set(planner.inputs(task)) for task in here), "tasks of a step need none of them"


def test_searches_of_each_round_are_on_the_models_of_the_round_before(tmp_path: Path) -> None:
    arguments = [*SMALL[:3], "dataset.limit=400", "seeds=[1]", "search=quick", "search.seeds=2", "forget.count=9"]
    command = read_command([*arguments, "forget.rounds=2", "forget.search_rounds=each", f"results={tmp_path}"])
    planner = Planner(command.sweep, Progress(quiet=True))
    first, second = (Task("search", cell, "ft", 1) for cell in (0, 1))
    assert {Task("evaluate", 0, "ft", 1), Task("select", 0, "ft", None)} <= set(planner.inputs(second))
    assert Task("evaluate", 0, "ft", 0) not in planner.inputs(Task("search", 1, "ft", 0)), "of no reported seed"
    assert planner.tasks.index(Task("evaluate", 0, "ft", 1)) < planner.tasks.index(second)
    assert Task("select", 1, "ft", None) in planner.inputs(Task("evaluate", 1, "ft", 1))
    method, search = command.sweep.methods[0], command.sweep.search
    alone, after = planner.keys[0].study(method, search, 1), planner._study(second, 1)
    assert after.earlier == planner.keys[0].chosen_by(command.sweep, method) and alone == planner._study(first, 1)
    ordinary = read_command([*arguments[:-1], "forget.count=5", f"results={tmp_path}"]).sweep
    assert Planner(ordinary, Progress(quiet=True)).keys[0].chosen_by(ordinary, method) == after.earlier
    once = read_command([*arguments, "forget.rounds=2", f"results={tmp_path}"]).sweep
    sets = [Planner(one, Progress(quiet=True)).keys[0].result_set(one, method) for one in (once, command.sweep)]
    assert sets[0] != sets[1], "rows of both stand in two tables"


def test_a_sequence_is_written_and_read_with_its_sweep() -> None:
    sweep = read_command([*SMALL, "forget=classes,random", "forget.rounds=2"]).sweep
    assert SweepConfig.model_validate_json(sweep.model_dump_json()).cells == sweep.cells
    names = [cell.name for cell in sweep.cells]
    assert names[2:] == [f"digits/smallnet/random,rounds=2#{number}" for number in (1, 2)]


# --------------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["forget.rounds=0"], "forget.rounds is no number of requests"),
        (["forget.schedule=[1,0,2]"], "forget.schedule[1] has a value"),
        (["forget.search_rounds=each"], "said of no requests"),
        (["forget=steps", "forget.rounds=2"], "cannot arrive in several requests: its steps make"),
        (["forget.rounds=2", "keep=logits"], "each round goes on from the weights"),
        (["forget.round=2"], "did you mean 'forget.rounds'"),
    ],
)
def test_what_a_command_cannot_say(arguments: list[str], problem: str) -> None:
    assert problem in str(refusal(*SMALL, *arguments))


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        *(({"rounds": wrong}, "is no number of requests") for wrong in (0, -2, 101, 2.5, True, "many", [1, 2])),
        ({"rounds": "file"}, "forget.rounds=file is of lists"),
        *(({"schedule": [1, wrong, 2]}, "forget.schedule[1] has a value") for wrong in (0, -5, 2.5, "a", None)),
        ({"schedule": []}, "a list that is not empty"),
        ({"schedule": [1] * 101}, "at most 100"),
        ({"schedule": 3}, "a list, e.g."),
        ({"rounds": 2, "schedule": [1, 2]}, "cut in two ways"),
        ({"rounds": 2, "search_rounds": "some"}, "'first' or 'each'"),
    ],
)
def test_values_that_say_no_requests(asked: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sequence(kind("random"), **asked)
    assert problem in str(caught.value) and caught.value.remedy


def test_the_design_of_the_per_sample_attack_has_no_rounds() -> None:
    with pytest.raises(ConfigError, match="each of its models forgets one part of its own half"):
        sequence(kind("halves", halvings=16, parts=5), rounds=2)


@pytest.mark.parametrize(
    ("of", "asked", "told"),
    [
        (kind("random", count=4), {"rounds": 5}, "4 samples of 4 random samples"),
        (kind("random", count=4), {"schedule": [1, 2]}, "3 samples, of 4 of 4 random samples"),
        (kind("random", count=4), {"schedule": [4, 2]}, "6 samples, of 4 of 4 random samples"),
        (kind("random", ratio=0.1), {"schedule": [10, 20]}, "30 samples, of 68 of random 10 %"),
        (kind("classes", classes=(0,), share=1.0), {"schedule": [2000]}, "2,000 samples, of "),
    ],
)
def test_sizes_that_do_not_go_with_the_forget_set_are_refused_with_both_numbers(
    of: ForgetSet, asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        cut(sequence(of, **asked)[0])
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id\n1\n2\n", "one named round"),
        ("id,round\n1,1\n2,3\n", "no sample of round 2, and some of 3"),
        ("id,round\n1,2\n2,3\n", "no sample of round 1"),
        ("id,round\n1,first\n2,2\n", "1: first"),
        ("id,round\n1,0\n2,1\n", "1: 0"),
        ("id,round\n1,1\n2,1.5\n", "2: 1.5"),
        ("id,round\n1,1\n2,101\n", "to 100"),
        ("id,round\n1,1\n2,\n", "no round in line 3"),
    ],
)
def test_a_list_whose_rounds_cannot_be_used_is_refused_as_it_is_read(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sequence(listed(tmp_path, text), rounds="file")
    assert told in str(caught.value)


def test_a_request_of_samples_that_nothing_is_trained_on_is_refused_with_its_number(tmp_path: Path) -> None:
    val = cut(kind("random")).val
    forgotten = np.setdiff1d(np.arange(0, 400, 5), val)
    lines = [f"{entry},1" for entry in forgotten] + [f"{val[0]},2"]
    with pytest.raises(ConfigError, match="only samples that are not trained on") as caught:
        cut(sequence(listed(tmp_path, "\n".join(["id,round", *lines])), rounds="file")[0])
    assert "round 2" in str(caught.value)
